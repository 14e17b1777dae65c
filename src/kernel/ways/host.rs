//! What a [`Host`] does about routes and rules, and about what is there all the time.

use super::{Devices, News, WayId};
use crate::base::{VirtualAddress, Way, WayKind};
use crate::kernel::entry::Origin;
use crate::kernel::{Host, device_of};

impl Host {
    /// Names the addresses that are set but belong to no virtual router, in place of those named
    /// before. They count as the host's own: one of them can be the primary one of its interface.
    pub fn configure_statics<'a>(
        &mut self,
        addresses: impl IntoIterator<Item = &'a VirtualAddress>,
    ) {
        let key = |it: &VirtualAddress| (it.link, it.ip, it.prefix_len);
        self.statics = addresses.into_iter().map(key).collect();
    }

    /// Names all routes and policy rules of the configuration, of all owners, set or not, in place
    /// of those named before. The monitor has to be in the groups of [`RouteGroup`] for routes and
    /// rules if there are any.
    ///
    /// [`RouteGroup`]: crate::io::sockets::RouteGroup
    pub fn configure_ways<'a>(&mut self, ways: impl IntoIterator<Item = &'a Way>) {
        self.ways.configure(ways);
    }

    /// `owner` wants these routes and rules and no others. Those that it no longer wants are deleted
    /// at once; the others are added when its addresses are there, so a [`Host::set`] follows, if
    /// only of no address, or [`Host::settle_ways`].
    pub fn want_ways<'a>(&mut self, owner: u32, ways: impl IntoIterator<Item = &'a Way>) {
        self.ways.want(owner, ways);
    }

    /// Adds what `owner` wants by [`Host::want_ways`], unless its addresses are still on their way;
    /// then it is added with them. No [`Fact::Set`](crate::kernel::Fact::Set) follows that wouldn't otherwise.
    pub fn settle_ways(&mut self, owner: u32) {
        if !self.reconciler.awaits(owner) && !self.ways.activate(owner, false, &mut self.facts) {
            self.ways.stop_waiting(owner);
        }
    }

    /// Deletes those routes and rules of the configuration that nobody here has set: a crash may
    /// have left them. Nothing else is deleted that doesn't say to be made by the same protocol.
    /// [`Fact::WaysRemoved`](crate::kernel::Fact::WaysRemoved) follows if there were any.
    pub fn remove_leftover_ways(&mut self) {
        self.ways.remove_leftovers(&mut self.facts);
    }

    /// The route or rule that a fact is about.
    pub fn way(&self, way: WayId) -> Option<&WayKind> {
        self.ways.what(way)
    }

    /// Whether a route or rule is there, as far as answers and events tell.
    pub fn is_way_present(&self, way: &WayKind) -> bool {
        self.ways.is_there(way)
    }

    /// The monitor tells of one.
    pub(in crate::kernel) fn on_way(&mut self, news: &News<'_>, origin: Origin) {
        if self.ways.is_empty() {
            return;
        }
        let Host { ways, names, links, mirror, facts, .. } = self;
        let devices = Devices { names, at: |link| device_of(links, link) };
        let up = |at| mirror.device(at).is_some_and(|device| device.is_wanted_up());
        ways.heard(news, origin, &devices, up, facts);
    }
}
