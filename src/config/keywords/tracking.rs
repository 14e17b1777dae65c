//! Keywords of what can be tracked, and of the lines that say that it is.

use super::Effect::{NotYet, Works};
use super::{FILE, FLAG, Kind, Shape, arg, keywords, many, maybe};

const SHORT_WEIGHT: Shape = Shape::Args(&[
    arg(Kind::Int(-253, 253, ""), "WEIGHT"),
    maybe(Kind::Choice(&["reverse", "noreverse"]), "reverse|noreverse"),
]);
const WEIGHT: Shape = Shape::Args(&[
    arg(Kind::Int(-254, 254, ""), "WEIGHT"),
    maybe(Kind::Choice(&["reverse", "noreverse"]), "reverse|noreverse"),
]);
const MULTIPLIER: Shape = Shape::Args(&[
    arg(Kind::Int(-2_147_483_647, 2_147_483_647, ""), "WEIGHT"),
    maybe(Kind::Choice(&["reverse", "noreverse"]), "reverse|noreverse"),
]);
const DELAY: Shape = Shape::Args(&[arg(Kind::Seconds(0, 3_600_000_000), "SECONDS")]);
const TIMES: Shape = Shape::Args(&[arg(Kind::Int(1, 2_147_483_647, ""), "COUNT")]);

/// Keywords of `vrrp_script`.
pub mod script {
    use super::*;
    keywords! {
        TABLE of Script;
        SCRIPT "script": Shape::Command, "", Works,
            "The command: all is well if its exit status is 0.";
        INTERVAL "interval": Shape::Args(&[arg(Kind::Seconds(1, 1_000_000_000_000), "SECONDS")]), "1", Works,
            "How often it is run.";
        TIMEOUT "timeout": Shape::Args(&[arg(Kind::Seconds(0, 1_000_000_000_000), "SECONDS")]), "as interval", Works,
            "How long it may take before it counts as failed.";
        WEIGHT "weight": SHORT_WEIGHT, "0", Works,
            "What is added to the priority while all is well, or taken from it while it isn't; 0 makes it a must.";
        RISE "rise": TIMES, "1", Works,
            "How often it must succeed in a row.";
        FALL "fall": TIMES, "1", Works,
            "How often it must fail in a row.";
        USER "user": Shape::Args(&[arg(Kind::Word, "USER"), maybe(Kind::Word, "GROUP")]), "as script_user", Works,
            "Who runs it.";
        INIT_FAIL "init_fail": FLAG, "", Works,
            "It counts as failed until it has succeeded.";
    }
}

/// Keywords of `track_file` outside of all blocks.
pub mod file {
    use super::*;
    keywords! {
        TABLE of TrackFile;
        FILE_NAME "file": FILE, "", Works,
            "The file.";
        WEIGHT "weight": MULTIPLIER, "1", Works,
            "What its number is multiplied with before it is added to the priority; 0 makes any other number than 0 a fault.";
        INIT_FILE "init_file": Shape::Args(&[maybe(Kind::Int(-2_147_483_648, 2_147_483_647, ""), "NUMBER"), maybe(Kind::Choice(&["overwrite"]), "overwrite")]), "", Works,
            "Makes the file at start, with this number or 0, if there is none or if overwrite is given.";
    }
}

/// Keywords of `vrrp_track_process`.
pub mod process {
    use super::*;
    keywords! {
        TABLE of TrackProcess;
        PROCESS "process": Shape::Args(&[arg(Kind::Word, "NAME"), many(Kind::Word, "ARGUMENT")]), "", Works,
            "The program, and its arguments if they matter.";
        PARAM_MATCH "param_match": Shape::Args(&[arg(Kind::Choice(&["initial", "partial"]), "initial|partial")]), "", Works,
            "Whether more arguments (partial), or a longer last one (initial), fit too; without arguments: that there must be none.";
        WEIGHT "weight": super::WEIGHT, "0", Works,
            "What is added to the priority while it runs, or taken from it while it doesn't; 0 makes it a must.";
        QUORUM "quorum": TIMES, "1", Works,
            "How many of it must run.";
        QUORUM_MAX "quorum_max": Shape::Args(&[arg(Kind::Int(0, 2_147_483_647, ""), "COUNT")]), "", Works,
            "How many of it may run.";
        FORK_DELAY "fork_delay": DELAY, "0", Works,
            "How long what a new process changes has to last.";
        TERMINATE_DELAY "terminate_delay": DELAY, "0", Works,
            "How long what the end of a process changes has to last.";
        DELAY_BOTH "delay": DELAY, "0", Works,
            "Both of these.";
        FULL_COMMAND "full_command": FLAG, "", Works,
            "The name is how it was called (the first word of its command line); with arguments it always is.";
    }
}

/// Keywords of `bfd_instance`.
pub mod bfd {
    use super::*;
    const MILLIS: Shape = Shape::Args(&[arg(Kind::Millis(1, 1_000_000_000), "MILLISECONDS")]);
    const HOPS: Shape = Shape::Args(&[arg(Kind::Int(1, 255, ""), "HOPS")]);
    keywords! {
        TABLE of Bfd;
        NEIGHBOR_IP "neighbor_ip" or "neighbour_ip": Shape::Args(&[arg(Kind::Ip, "ADDRESS")]), "", NotYet,
            "The neighbour.";
        SOURCE_IP "source_ip": Shape::Args(&[arg(Kind::Ip, "ADDRESS")]), "", NotYet,
            "The own address.";
        MIN_RX "min_rx": MILLIS, "10", NotYet,
            "How often packets may come at most.";
        MIN_TX "min_tx": MILLIS, "10", NotYet,
            "How often packets are sent at most.";
        IDLE_TX "idle_tx": MILLIS, "1000", NotYet,
            "How often packets are sent while the session is down.";
        MULTIPLIER "multiplier": Shape::Args(&[arg(Kind::Int(1, 255, ""), "COUNT")]), "5", NotYet,
            "How many packets must be missed before the session is down.";
        PASSIVE "passive": FLAG, "", NotYet,
            "Waits for the neighbour to begin.";
        TTL "ttl": HOPS, "255", NotYet,
            "The TTL of packets over IPv4.";
        HOPLIMIT "hoplimit": HOPS, "255, or 64 with multihop", NotYet,
            "The hop limit of packets over IPv6.";
        MAX_HOPS "max_hops": Shape::Args(&[arg(Kind::Int(0, 255, ""), "HOPS")]), "0", NotYet,
            "How many hops away the neighbour may be.";
        MULTIHOP "multihop": FLAG, "", NotYet,
            "The neighbour isn't on the same link (RFC 5883).";
        WEIGHT "weight": SHORT_WEIGHT, "0", NotYet,
            "What is added to the priority while it is up, or taken from it while it is down; 0 makes it a must.";
        VRRP "vrrp": FLAG, "", NotYet,
            "Only virtual routers hear of it.";
        CHECKER "checker": FLAG, "", super::super::Effect::OutOfScope,
            "Only checkers hear of it.";
    }
}

/// Keywords of `viprd_track_set` outside of all blocks.
pub mod set {
    use super::*;
    keywords! {
        TABLE of TrackSet;
        REQUIRE "require": Shape::Args(&[arg(Kind::Choice(&["any", "all"]), "any|all")]), "", Works,
            "Whether one good member is enough, or all must be good.";
        INTERFACES "interfaces": Shape::Words(arg(Kind::Interface, "INTERFACE")), "", Works,
            "Interfaces of the set: good while they are up and running.";
        SCRIPTS "scripts": Shape::Words(arg(Kind::Word, "NAME")), "", Works,
            "Scripts of the set: good while they succeed.";
    }
}

/// Keywords of the lines of `viprd_track_set` inside virtual routers and groups.
pub mod set_use {
    use super::*;
    keywords! {
        TABLE of TrackSetUse;
        WEIGHT "weight": SHORT_WEIGHT, "0", Works,
            "What is added to the priority while the set is good, or taken from it while it isn't; 0 makes it a must.";
    }
}

/// Keywords of the lines of `track_interface`.
pub mod interface {
    use super::*;
    keywords! {
        TABLE of TrackInterface;
        WEIGHT "weight": SHORT_WEIGHT, "0", Works,
            "What is added to the priority while it is up, or taken from it while it is down; 0 makes it a must.";
    }
}

/// Keywords of the lines of `track_script`.
pub mod script_use {
    use super::*;
    keywords! {
        TABLE of TrackScript;
        WEIGHT "weight": SHORT_WEIGHT, "as in vrrp_script", Works,
            "What is added to the priority while all is well, or taken from it while it isn't; 0 makes it a must.";
    }
}

/// Keywords of the lines of `track_file` inside virtual routers and groups.
pub mod file_use {
    use super::*;
    keywords! {
        TABLE of TrackFileUse;
        WEIGHT "weight": super::WEIGHT, "as in the file's own block", Works,
            "What its number is multiplied with before it is added to the priority; 0 makes any other number than 0 a fault.";
    }
}

/// Keywords of the lines of `track_process`.
pub mod process_use {
    use super::*;
    keywords! {
        TABLE of TrackProcessUse;
        WEIGHT "weight": super::WEIGHT, "as in vrrp_track_process", Works,
            "What is added to the priority while it runs, or taken from it while it doesn't; 0 makes it a must.";
    }
}

/// Keywords of the lines of `track_bfd`.
pub mod bfd_use {
    use super::*;
    keywords! {
        TABLE of TrackBfd;
        WEIGHT "weight": SHORT_WEIGHT, "as in bfd_instance", NotYet,
            "What is added to the priority while it is up, or taken from it while it is down; 0 makes it a must.";
    }
}
