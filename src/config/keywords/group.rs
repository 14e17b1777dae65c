//! Keywords of groups: `vrrp_sync_group`, `track_group`, `garp_group`; and of small lines.

use super::Effect::{Missing, Moot, Works};
use super::{FLAG, Kind, Place, SWITCH, Shape, arg, keywords};

const MEMBERS: Shape = Shape::Words(arg(Kind::Word, "NAME"));

/// Keywords of `vrrp_sync_group`.
pub mod sync {
    use super::*;
    keywords! {
        TABLE of SyncGroup;
        GROUP "group": MEMBERS, "", Works,
            "The virtual routers of the group.";
        TRACK_INTERFACE "track_interface": Shape::Lines(Place::TrackInterface), "", Works,
            "Interfaces that must be up, or that change the priority of all members.";
        TRACK_SCRIPT "track_script": Shape::Lines(Place::TrackScript), "", Works,
            "Scripts that must succeed, or that change the priority of all members.";
        TRACK_FILE "track_file": Shape::Lines(Place::TrackFileUse), "", Works,
            "Files whose number changes the priority of all members.";
        TRACK_PROCESS "track_process": Shape::Lines(Place::TrackProcessUse), "", Works,
            "Programs that must run, or that change the priority of all members.";
        TRACK_BFD "track_bfd": Shape::Lines(Place::TrackBfd), "", Missing,
            "BFD sessions that must be up, or that change the priority of all members.";
        VIPRD_TRACK_SET "viprd_track_set": Shape::Lines(Place::TrackSetUse), "", Works,
            "Sets of interfaces and scripts that must be good, or that change the priority of all members.";
        NOTIFY_MASTER "notify_master": Shape::Command, "", Works,
            "Run when the group becomes master.";
        NOTIFY_BACKUP "notify_backup": Shape::Command, "", Works,
            "Run when the group becomes backup.";
        NOTIFY_FAULT "notify_fault": Shape::Command, "", Works,
            "Run when the group enters FAULT.";
        NOTIFY_STOP "notify_stop": Shape::Command, "", Works,
            "Run when the group stops.";
        NOTIFY_DELETED "notify_deleted": Shape::OptionalCommand, "", Works,
            "The named pipes are told DELETED when a reload removes the group, and a command is run.";
        NOTIFY "notify": Shape::Command, "", Works,
            "Run at every change, with GROUP, its name, the state and 0 as further arguments.";
        NOTIFY_PRIORITY_CHANGES "notify_priority_changes": SWITCH, "as vrrp_notify_priority_changes", Works,
            "Also tells the named pipes of changed priorities.";
        SMTP_ALERT "smtp_alert": SWITCH, "as smtp_alert_vrrp", Works,
            "Sends mail at every change of state.";
        SYNC_GROUP_TRACKING_WEIGHT "sync_group_tracking_weight": FLAG, "", Works,
            "Members may have tracking weights of their own.";
        GLOBAL_TRACKING "global_tracking": FLAG, "", Moot("what a group tracks always holds for all its members"),
            "What members track holds for all of them.";
    }
}

/// Keywords of `track_group`.
pub mod track {
    use super::*;
    keywords! {
        TABLE of TrackGroup;
        GROUP "group": MEMBERS, "", Works,
            "The virtual routers of the group.";
    }
}

/// Keywords of `garp_group`.
pub mod garp {
    use super::*;
    const GAP: Shape = Shape::Args(&[arg(Kind::Seconds(0, 4_294_967_295), "SECONDS")]);
    keywords! {
        TABLE of GarpGroup;
        GARP_INTERVAL "garp_interval": GAP, "as vrrp_garp_interval", Works,
            "The least time between two gratuitous ARPs.";
        GNA_INTERVAL "gna_interval": GAP, "as vrrp_gna_interval", Works,
            "The least time between two unsolicited neighbour advertisements.";
        INTERFACE "interface": Shape::Args(&[arg(Kind::Interface, "INTERFACE")]), "", Works,
            "The interface that this holds for.";
        INTERFACES "interfaces": Shape::Words(arg(Kind::Interface, "INTERFACE")), "", Works,
            "The interfaces that this holds for, all together.";
    }
}

/// Keywords of the lines of `unicast_peer`.
pub mod peer {
    use super::*;
    const TTL: Shape = Shape::Args(&[arg(Kind::Int(0, 255, ""), "TTL")]);
    keywords! {
        TABLE of UnicastPeer;
        MIN_TTL "min_ttl": TTL, "0", Works,
            "The least TTL or hop limit that an advert of this peer may arrive with; then all others are dropped, as by check_unicast_src.";
        MAX_TTL "max_ttl": TTL, "255", Works,
            "The greatest TTL or hop limit that an advert of this peer may arrive with; then all others are dropped, as by check_unicast_src.";
    }
}
