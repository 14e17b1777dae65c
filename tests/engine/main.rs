//! The engine's face, from outside: bytes, link changes and times in; wishes, states and counters
//! out. What it means for a whole LAN is `tests/sim`'s matter.

#![expect(unreachable_pub, reason = "a test binary has no outside")]

mod changes;
mod conduct;
mod desk;
mod families;
mod faults;
mod garps;
mod groups;
mod latency;
mod packets;
mod seed;
mod states;
mod times;
