//! Keywords outside of all blocks.

use super::Effect::{Moot, NotYet, OutOfScope, Works};
use super::Naming::{Named, Unnamed};
use super::{Kind, Place, Shape, arg, keywords};

keywords! {
    TABLE of Root;
    GLOBAL_DEFS "global_defs": Shape::Block(Place::Global, Unnamed), "", Works,
        "Settings of the daemon, and defaults of all virtual routers.";
    VRRP_INSTANCE "vrrp_instance": Shape::Block(Place::Instance, Named), "", Works,
        "One virtual router.";
    VRRP_SYNC_GROUP "vrrp_sync_group": Shape::Block(Place::SyncGroup, Named), "", Works,
        "Virtual routers that are master together or not at all.";
    VRRP_SCRIPT "vrrp_script": Shape::Block(Place::Script, Named), "", Works,
        "A command that is run periodically and whose result virtual routers track.";
    TRACK_FILE "track_file" or "vrrp_track_file": Shape::Block(Place::TrackFile, Named), "", Works,
        "A file that holds a number which virtual routers track.";
    VRRP_TRACK_PROCESS "vrrp_track_process": Shape::Block(Place::TrackProcess, Named), "", Works,
        "A program whose running virtual routers track.";
    BFD_INSTANCE "bfd_instance": Shape::Block(Place::Bfd, Named), "", NotYet,
        "A BFD session (RFC 5880, RFC 5881) that virtual routers track.";
    VIPRD_TRACK_SET "viprd_track_set": Shape::Block(Place::TrackSet, Named), "", Works,
        "Interfaces and scripts that are good or bad together: any of them is enough, or all must be.";
    GARP_GROUP "garp_group": Shape::Block(Place::GarpGroup, Unnamed), "", Works,
        "How fast gratuitous ARPs may follow each other on an interface, or on several together.";
    STATIC_IPADDRESS "static_ipaddress": Shape::Lines(Place::Address), "", Works,
        "Addresses that are there as long as the daemon runs, whatever the states.";
    STATIC_ROUTES "static_routes": Shape::Lines(Place::Route), "", Works,
        "Routes that are there as long as the daemon runs, whatever the states.";
    STATIC_RULES "static_rules": Shape::Lines(Place::Rule), "", Works,
        "Policy rules that are there as long as the daemon runs, whatever the states.";
    TRACK_GROUP "track_group": Shape::Block(Place::TrackGroup, Named), "", Works,
        "Virtual routers that fail when a static address, route or rule is gone for good.";
    INTERFACE_UP_DOWN_DELAYS "interface_up_down_delays": Shape::Lines(Place::UpDownDelay), "", Works,
        "How long an interface must be down, or up again, before anyone notices.";
    LINKBEAT_INTERFACES "linkbeat_interfaces": Shape::Lines(Place::Linkbeat), "",
        Moot("the kernel reports every change of a link"),
        "Interfaces whose links are polled.";
    LINKBEAT_USE_POLLING "linkbeat_use_polling": Shape::Flag, "",
        Moot("the kernel reports every change of a link"),
        "All links are polled.";
    NET_NAMESPACE "net_namespace": Shape::Args(&[arg(Kind::Word, "NAME")]), "that of the caller", Works,
        "The network namespace that the daemon runs in.";
    NET_NAMESPACE_IPVS "net_namespace_ipvs": Shape::Args(&[arg(Kind::Word, "NAME")]), "", OutOfScope,
        "The network namespace of IPVS.";
    NAMESPACE_WITH_IPSETS "namespace_with_ipsets": Shape::Flag, "",
        Moot("every kernel that runs this daemon has ipsets in namespaces"),
        "Uses ipsets in a namespace even with old kernels.";
    INSTANCE "instance": Shape::Args(&[arg(Kind::Word, "NAME")]), "", Works,
        "The name of this daemon among several on a host: in the names of its files and in its log.";
    USE_PID_DIR "use_pid_dir": Shape::Flag, "", Works,
        "Puts the pid files into a directory of their own.";
    CHILD_WAIT_TIME "child_wait_time": Shape::Args(&[arg(Kind::Int(0, 2_147_483_647, "seconds"), "SECONDS")]), "5",
        Moot("there is one process"),
        "How long the parent waits for its children when it stops.";
    INCLUDE "include": Shape::Args(&[arg(Kind::Word, "PATTERN")]), "", Works,
        "Reads the files whose names match, as if their text stood here.";
    INCLUDER "includer": Shape::Args(&[arg(Kind::Word, "PATTERN")]), "", Works,
        "As include; it is an error if a file can't be read.";
    INCLUDEM "includem": Shape::Args(&[arg(Kind::Word, "PATTERN")]), "", Works,
        "As include; it is an error if no file has the name.";
    INCLUDEW "includew": Shape::Args(&[arg(Kind::Word, "PATTERN")]), "", Works,
        "As include; it is an error if no file matches the wildcard.";
    INCLUDEB "includeb": Shape::Args(&[arg(Kind::Word, "PATTERN")]), "", Works,
        "As include; it is an error if one of the names that braces give has no file.";
    INCLUDEA "includea": Shape::Args(&[arg(Kind::Word, "PATTERN")]), "", Works,
        "As include; all that is an error.";
    VIRTUAL_SERVER "virtual_server": Shape::Anything, "", OutOfScope,
        "A service balanced by IPVS.";
    VIRTUAL_SERVER_GROUP "virtual_server_group": Shape::Anything, "", OutOfScope,
        "Addresses of services balanced by IPVS.";
    SSL "SSL": Shape::Anything, "", OutOfScope,
        "Certificates for health checks.";
}
