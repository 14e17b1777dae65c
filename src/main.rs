//! `viprd`, the daemon. All of it is in the library; see [`viprd::daemon`].

use std::process::ExitCode;

fn main() -> ExitCode {
    viprd::daemon::main()
}
