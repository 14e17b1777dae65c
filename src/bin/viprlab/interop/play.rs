//! **A row**: two routers, one address, and everything that may befall the preferred one.
//!
//! After each event the row waits until all is as it should be: the right router advertises and has
//! the addresses, the other one is silent and has none of them, the change was announced, and both
//! daemons say of themselves what the wire shows. Then it must stay so for some intervals.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use crate::clock::ms_between;
use crate::daemon::{Program, State};
use crate::interrupt::{self, Stop};

use super::Halt;
use super::case::{Case, Role};
use super::report::{Cell, Trouble};
use super::router::Router;
use super::wire::Advert;

/// What befalls the routers, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Both start.
    Start,
    /// The preferred one is stopped.
    Stop,
    /// It is started again.
    Return,
    /// Its link is set down.
    LinkDown,
    /// And up.
    LinkUp,
    /// The cable of its link is pulled.
    CableOut,
    /// And put in.
    CableIn,
}

/// Beyond what the protocol needs, how long a change may take: a busy machine, a kernel that reports
/// a carrier only once a second, and the detection of duplicate addresses after that.
const PATIENCE: Duration = Duration::from_secs(12);

/// How often a row looks.
const LOOK: Duration = Duration::from_millis(20);

/// How much longer than its skew time a router may take after an advert of priority 0, in intervals:
/// less than what it would wait had it not heard that.
const HANDOVER_SLACK: u32 = 2;

/// FRR's vrrpd does not look at its link.
const FRR_IS_QUIET: &str = "FRR announces nothing when its link or cable comes back, since it never ceased to call \
                            itself master: with the virtual MAC on both sides no client needs it";

/// FRR's vrrpd has no state for a router that is cut off.
const FRR_STAYS: &str = "FRR goes on to call itself master while its link is down or its cable out; \
                         nobody hears it, its macvlan being down as well";

/// Two routers, being played with.
#[derive(Debug)]
pub(super) struct Row<'a> {
    case: &'a Case,
    routers: [Router<'a>; 2],
    /// Since when the adverts of each are to be looked at.
    begun: Instant,
    /// What is peculiar to the peer, and not wrong.
    notes: BTreeSet<&'static str>,
}

impl Step {
    /// All of them.
    pub(crate) const ALL: [Step; 7] = [
        Step::Start,
        Step::Stop,
        Step::Return,
        Step::LinkDown,
        Step::LinkUp,
        Step::CableOut,
        Step::CableIn,
    ];

    /// Its heading in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Step::Start => "start",
            Step::Stop => "stop",
            Step::Return => "return",
            Step::LinkDown => "link down",
            Step::LinkUp => "link up",
            Step::CableOut => "cable out",
            Step::CableIn => "cable in",
        }
    }

    /// Who is master after it.
    fn master(self) -> Role {
        match self {
            Step::Start | Step::Return | Step::LinkUp | Step::CableIn => Role::Preferred,
            Step::Stop | Step::LinkDown | Step::CableOut => Role::Other,
        }
    }
}

impl<'a> Row<'a> {
    /// A row of two routers, first the preferred one.
    pub(super) fn new(case: &'a Case, routers: [Router<'a>; 2]) -> Self {
        Row { case, routers, begun: Instant::now(), notes: BTreeSet::new() }
    }

    /// Plays all steps, up to the first that fails; `say` hears what is being done.
    ///
    /// # Errors
    /// A signal, or what the bench itself needs.
    pub(super) fn play(
        &mut self,
        say: &dyn Fn(Step),
    ) -> Result<(Vec<Cell>, Option<Trouble>), Halt> {
        let mut cells = Vec::new();
        for step in Step::ALL {
            say(step);
            match self.step(step) {
                Ok(cell) => cells.push(cell),
                Err(Halt::Stop(Stop::Trouble(why))) => {
                    return Ok((cells, Some(Trouble { step: step.name(), why })));
                }
                Err(halt) => return Err(halt),
            }
        }
        match self.end() {
            Err(Stop::Trouble(why)) => Ok((cells, Some(Trouble { step: "the end", why }))),
            Err(stop) => Err(stop.into()),
            Ok(()) => Ok((cells, None)),
        }
    }

    /// What was peculiar to the peer, and not wrong.
    pub(super) fn notes(&self) -> impl Iterator<Item = &'static str> {
        self.notes.iter().copied()
    }

    /// The logs of both, first that of the preferred one.
    pub(super) fn logs(&self) -> [Vec<String>; 2] {
        self.routers.each_ref().map(Router::log)
    }

    fn step(&mut self, step: Step) -> Result<Cell, Halt> {
        let event = self.cause(step)?;
        let since = match step {
            // The first advert may come while the daemons are still being started.
            Step::Start => self.begun,
            _ => event,
        };
        let first = self.becomes(step, since)?;
        if step == Step::Stop {
            self.judge_handover(event)?;
        }
        Ok(Cell { step: step.name(), ms: ms_between(event, first) })
    }

    /// Makes it happen; tells when.
    fn cause(&mut self, step: Step) -> Result<Instant, Halt> {
        let [preferred, other] = &mut self.routers;
        let at = Instant::now();
        match step {
            Step::Start => {
                other.start()?;
                preferred.start()?;
            }
            Step::Return => preferred.start()?,
            Step::Stop => {
                nothing_refused(preferred)?;
                return Ok(preferred.stop()?);
            }
            Step::LinkDown | Step::LinkUp => {
                let up = step == Step::LinkUp;
                return Ok(preferred.namespace.set_link(super::case::LINK, up)?.before);
            }
            Step::CableOut | Step::CableIn => {
                let (switch, port) = preferred.port;
                return Ok(switch.set_link(port, step == Step::CableIn)?.before);
            }
        }
        Ok(at)
    }

    /// Waits until the master after `step` is that and alone, and stays so; tells when it first
    /// advertised after `since`.
    fn becomes(&mut self, step: Step, since: Instant) -> Result<Instant, Halt> {
        let master = step.master();
        let needs = self.case.master_down(Role::Other);
        let deadline = Instant::now() + needs + PATIENCE;
        while let Some(wrong) = self.wrong(step, since)? {
            if Instant::now() >= deadline {
                let waited = (needs + PATIENCE).as_secs_f64();
                let why = format!("{waited:.1} s later {wrong}");
                return Err(Stop::Trouble(why).into());
            }
            self.pause(LOOK)?;
        }
        let right = Instant::now();
        self.pause(self.settles())?;
        if let Some(wrong) = self.wrong(step, since)? {
            let why = format!("it was right first, but then {wrong}");
            return Err(Stop::Trouble(why).into());
        }
        // Whoever has spoken since then was not silent, though it may be again.
        let spoke = self.adverts(master.other(), right).len();
        if spoke > 0 {
            let name = self.router(master.other()).program.name();
            let why = format!("it was right first, but then {name} sent {spoke} adverts");
            return Err(Stop::Trouble(why).into());
        }
        let first = self.adverts(master, since).first().map(|&(at, _)| at);
        first.ok_or_else(|| Stop::Trouble("its adverts are gone".into()).into())
    }

    /// What is not as it should be after `step`, which was at `since`, if anything.
    fn wrong(&mut self, step: Step, since: Instant) -> Result<Option<String>, Halt> {
        let master = step.master();
        for router in &mut self.routers {
            router.alive()?;
        }
        let mut notes = BTreeSet::new();
        let (is, other) = (self.router(master), self.router(master.other()));
        let (name, others_name) = (is.program.name(), other.program.name());

        let adverts = self.adverts(master, since);
        let Some((last, _)) = adverts.last() else {
            return Ok(Some(format!("{name} sends no adverts")));
        };
        if last.elapsed() > self.case.interval() * 3 {
            return Ok(Some(format!("{name} has ceased to send adverts")));
        }
        for &(_, advert) in &adverts {
            if let Some(misfit) = self.case.misfit(is.program, &advert) {
                return Ok(Some(format!("{name} is master, but {misfit}")));
            }
        }
        if let Some((last, _)) = self.adverts(master.other(), since).last()
            && last.elapsed() < self.case.interval() * 5 / 4
        {
            return Ok(Some(format!("{others_name} still sends adverts, as {name} does")));
        }
        for &address in self.case.addresses() {
            match is.place_of(address)? {
                None => return Ok(Some(format!("{address} is not on {name}'s host"))),
                Some(place) if !place.works => {
                    let interface = place.interface;
                    let why = format!("{address} is on {name}'s {interface}, which is down");
                    return Ok(Some(why));
                }
                Some(_) => {}
            }
            // FRR's way to take an address away is to hold its interface down.
            if let Some(place) = other.place_of(address)?
                && (place.works || other.program != Program::Frr)
            {
                let interface = place.interface;
                return Ok(Some(format!("{address} is still on {others_name}'s {interface}")));
            }
            if !is.ear.announced(address, since) {
                if is.program == Program::Frr && matches!(step, Step::LinkUp | Step::CableIn) {
                    notes.insert(FRR_IS_QUIET);
                    continue;
                }
                return Ok(Some(format!("{name} has not announced {address}")));
            }
        }
        let claims = (is.claims(), other.claims());
        if claims.0 != Some(State::Master) {
            return Ok(Some(format!("{name} advertises, but says that it is {}", told(claims.0))));
        }
        if claims.1 == Some(State::Master) {
            if other.program == Program::Frr && matches!(step, Step::LinkDown | Step::CableOut) {
                notes.insert(FRR_STAYS);
            } else {
                return Ok(Some(format!("{others_name} is silent, but says that it is MASTER")));
            }
        }
        self.notes.append(&mut notes);
        Ok(None)
    }

    /// Whether the preferred router left at `event` with an advert of priority 0, and the other took
    /// over for that reason and not because it heard nothing.
    fn judge_handover(&self, event: Instant) -> Result<(), Stop> {
        let (left, takes) =
            (self.router(Role::Preferred).program, self.router(Role::Other).program);
        let heard = self.router(Role::Preferred).ear.adverts(event);
        let farewell = heard.iter().find(|(_, advert)| advert.priority == 0);
        let Some(&(farewell, _)) = farewell else {
            let what = format!("{} left without an advert of priority 0", left.name());
            return Err(Stop::Trouble(what));
        };
        let first = self.adverts(Role::Other, farewell).first().map(|&(at, _)| at);
        let took = first.map_or(Duration::MAX, |first| first - farewell);
        let skew = self.case.skew(Role::Other);
        if took > skew + self.case.interval() * HANDOVER_SLACK {
            let (took, skew) = (took.as_secs_f64() * 1e3, skew.as_secs_f64() * 1e3);
            let what = format!(
                "{} took over {took:.0} ms after priority 0 instead of {skew:.0} ms",
                takes.name()
            );
            return Err(Stop::Trouble(what));
        }
        Ok(())
    }

    /// Stops both; nothing may have been refused until then.
    fn end(&mut self) -> Result<(), Stop> {
        for router in &mut self.routers {
            nothing_refused(router)?;
        }
        for router in &mut self.routers {
            router.stop()?;
        }
        Ok(())
    }

    /// The adverts with which `role` has said since `since` that it is master.
    fn adverts(&self, role: Role, since: Instant) -> Vec<(Instant, Advert)> {
        let mut adverts = self.router(role).ear.adverts(since);
        adverts.retain(|(_, advert)| advert.priority > 0);
        adverts
    }

    /// How long all must stay right to count.
    fn settles(&self) -> Duration {
        self.case.interval() * 5 / 2
    }

    fn pause(&mut self, span: Duration) -> Result<(), Stop> {
        let until = Instant::now() + span;
        loop {
            interrupt::check()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(LOOK));
        }
    }

    fn router(&self, role: Role) -> &Router<'a> {
        &self.routers[role as usize]
    }
}

/// Whether a router has taken every packet that it received.
fn nothing_refused(router: &Router<'_>) -> Result<(), Stop> {
    let refused = router.refused()?;
    let name = router.program.name();
    match &refused[..] {
        [] => Ok(()),
        refused => {
            let refused = refused.join(", ");
            Err(Stop::Trouble(format!("{name} has refused packets: {refused}")))
        }
    }
}

fn told(state: Option<State>) -> &'static str {
    state.map_or("nothing", State::name)
}
