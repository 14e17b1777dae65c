//! Known bugs, put in from outside: what the engine hears, is told or wishes is bent so that it
//! behaves as if it had them. The oracle has to notice each.

use std::net::IpAddr;
use std::rc::Rc;

use viprd::base::{Centis, Instant, Mac, Span, Vrid};
use viprd::vrrp::{Action, Preempt, RouterParams, RouterView, StateName};
use viprd::wire::Advert;
use viprd::wire::Authentication;
use viprd::wire::vrrp::{AdvertContent, AdvertFrame};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// An Active does not yield to the same priority with a higher address.
    NoTieBreak,
    /// A Backup takes an equal priority for a lower one.
    EqualCountsAsLower,
    /// Timers fire some milliseconds early.
    FiresEarly,
    /// An Active leaves without a word.
    LeavesSilently,
    /// A Backup does not understand priority 0.
    DeafToPriorityZero,
    /// An Active does not answer an advert that it wins against.
    LosingAdvertIgnored,
    /// An Active does not yield at all.
    NeverYields,
    /// Deadlines are judged before the queue is drained.
    JudgesBeforeItDrains,
    /// Adverts come a centisecond late each time.
    IntervalDrifts,
    /// The Active's interval is not learned.
    IntervalNotLearned,
    /// `nopreempt` has no effect.
    NopreemptIgnored,
    /// Nobody preempts.
    NeverPreempts,
    /// The addresses stay when the router is not Active any more.
    AddressesStay,
    /// Some packets are not counted.
    Uncounted,
    /// Adverts leave with the priority that they had at start.
    StaleFrame,
}

/// Who watches. A bug is to be noticed by each that can see it, not only by the sharpest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// All that follows, and the model beside each router.
    Everything,
    /// What can be seen from outside a host: who is Active, when, with which addresses.
    Network,
    /// That, and the hosts' counters.
    Counters,
}

/// The bug that is put in, if any, and who watches.
#[derive(Clone, Copy, Debug)]
pub struct Tamper {
    pub mutation: Option<Mutation>,
    pub watch: Watch,
}

impl Tamper {
    pub const NONE: Tamper = Tamper { mutation: None, watch: Watch::Everything };

    fn is(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    pub fn judges_before_it_drains(&self) -> bool {
        self.is(Mutation::JudgesBeforeItDrains)
    }

    /// The time at which deadlines are judged.
    pub fn judgement_time(&self, now: Instant) -> Instant {
        match self.is(Mutation::FiresEarly) {
            true => now + Span::from_millis(5),
            false => now,
        }
    }

    pub fn configure(&self, mut params: RouterParams) -> RouterParams {
        if self.is(Mutation::IntervalDrifts) {
            params.interval = Centis::new(params.interval.get() + 1).unwrap_or(params.interval);
        }
        if self.is(Mutation::NopreemptIgnored) {
            params.preempt = Preempt::After(Span::ZERO);
        }
        if self.is(Mutation::NeverPreempts) {
            params.preempt = Preempt::Never;
        }
        params
    }

    /// What the router at `view` is given instead of `packet`.
    pub fn receive(&self, view: Option<RouterView<'_>>, packet: Rc<[u8]>) -> Option<Rc<[u8]>> {
        let (Some(mutation), Some(view)) = (self.mutation, view) else { return Some(packet) };
        let Ok(advert) = Advert::parse(&packet) else { return Some(packet) };
        let active = view.state.name() == StateName::Master;
        let backup = view.state.name() == StateName::Backup;
        let equal = advert.priority == view.priority;
        let wins = (advert.priority, Some(advert.source)) > (view.priority, view.active);
        let lost = match mutation {
            Mutation::NoTieBreak => active && equal && wins,
            Mutation::NeverYields => active && wins,
            Mutation::LosingAdvertIgnored => active && !wins && advert.priority > 0,
            Mutation::DeafToPriorityZero => advert.priority == 0,
            Mutation::Uncounted => last_octet(advert.source) % 20 == 7,
            Mutation::EqualCountsAsLower if backup && equal && advert.priority > 1 => {
                return Some(rewrite(&advert, |content| content.priority -= 1));
            }
            Mutation::IntervalNotLearned => {
                return Some(rewrite(&advert, |content| content.interval = view.params.interval));
            }
            _ => false,
        };
        (!lost).then_some(packet)
    }

    /// What is carried out instead of `wish`.
    pub fn wish(&self, wish: Action) -> Option<Action> {
        match (self.mutation, wish) {
            (Some(Mutation::LeavesSilently), Action::Advertise { priority: 0, .. }) => None,
            (Some(Mutation::AddressesStay), Action::UnsetAddresses { .. }) => None,
            _ => Some(wish),
        }
    }

    /// The priority that the frame is patched to carry; `None` if it stays as it was built.
    pub fn patch(&self, priority: u8) -> Option<u8> {
        (!self.is(Mutation::StaleFrame)).then_some(priority)
    }
}

fn last_octet(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(ip) => ip.octets()[3],
        IpAddr::V6(ip) => ip.octets()[15],
    }
}

/// `advert` with something changed, as bytes again.
fn rewrite(advert: &Advert<'_>, change: impl Fn(&mut AdvertContent<'_>)) -> Rc<[u8]> {
    let addresses: Vec<IpAddr> = advert.addresses.iter().collect();
    let mut content = AdvertContent {
        version: advert.version,
        vrid: Vrid::new(advert.vrid).expect("it has a router"),
        priority: advert.priority,
        interval: advert.interval.expect("no host sends 0"),
        source: advert.source,
        addresses: &addresses,
        checksum_form: advert.checksum_form,
        authentication: Authentication::None,
    };
    change(&mut content);
    AdvertFrame::new(&content, Mac::default()).packet().into()
}
