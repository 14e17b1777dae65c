//! `viprd` as its users and its enemies meet it: the real programs in network namespaces, real
//! packets, judged by `ip`, `tshark`, `strace` and the exit code rather than by our own code.
//!
//! Packets that the daemon is to hear are put together byte by byte in [`packet`], which shares
//! nothing with `src/wire`; frames that it sends are written to a capture file and read by tshark.
//!
//! Needs root, iproute2, tshark and strace. Where these are missing, each test says so and passes,
//! but not under `CI=true`: there they must be present.
//!
//! The tests run in parallel, each in namespaces of its own, on machines that may be busy with
//! something else. So nothing is asserted about milliseconds: what must happen gets many seconds to
//! happen, and what must not happen would have had several times the time that it takes.

mod keepalived;
mod packet;
mod shark;
mod silence;
mod site;
mod tap;
mod viprd;

mod arguments;
mod choices;
mod configuration;
mod control;
mod crafted;
mod dumps;
mod groups;
mod hangs;
mod hostile;
mod interop;
mod ipv6;
mod lifecycle;
mod links;
mod logs;
mod notices;
mod scripts;
mod shapes;
mod stalls;
mod steady;
mod unicast;
