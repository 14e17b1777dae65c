//! Keywords of `vrrp_instance`.

use super::Effect::Works;
use super::{Kind, Place, Shape, arg, keywords};

const COUNT: Shape = Shape::Args(&[arg(Kind::Int(0, 2_147_483_647, ""), "COUNT")]);
const DELAY: Shape = Shape::Args(&[arg(Kind::Int(0, 86_400, "seconds"), "SECONDS")]);

keywords! {
    TABLE of Instance;
    STATE "state": Shape::Args(&[arg(Kind::Choice(&["MASTER", "BACKUP"]), "MASTER|BACKUP")]), "BACKUP", Works,
        "The state that is expected at first; priorities decide what it really becomes.";
    INTERFACE "interface": Shape::Args(&[arg(Kind::Interface, "INTERFACE")]), "default_interface", Works,
        "The interface that carries its adverts, and its addresses unless they say otherwise.";
    VIRTUAL_ROUTER_ID "virtual_router_id": Shape::Args(&[arg(Kind::Int(1, 255, ""), "ID")]), "", Works,
        "Its number on the wire, the same on all routers that share its addresses.";
    PRIORITY "priority": Shape::Args(&[arg(Kind::Int(1, 255, ""), "PRIORITY")]), "100", Works,
        "How much it wants to be master; 255 says that it owns the addresses.";
    ADVERT_INT "advert_int": Shape::Args(&[arg(Kind::Seconds(10_000, 255_000_000), "SECONDS")]), "1", Works,
        "How often it sends adverts while master.";
    VERSION "version": Shape::Args(&[arg(Kind::Int(2, 3, ""), "2|3")]), "as vrrp_version", Works,
        "The protocol version it speaks.";
    VIRTUAL_IPADDRESS "virtual_ipaddress": Shape::Lines(Place::Address), "", Works,
        "The addresses it carries, listed in its adverts.";
    TRACK_INTERFACE "track_interface": Shape::Lines(Place::TrackInterface), "", Works,
        "Interfaces that must be up, or that change its priority.";
    NOPREEMPT "nopreempt": Shape::Flag, "", Works,
        "It never displaces a master of lower priority.";
    PREEMPT_DELAY "preempt_delay": Shape::Args(&[arg(Kind::Seconds(0, 1_000_000_000), "SECONDS")]), "0", Works,
        "How long it waits before it displaces a master of lower priority.";
    GARP_MASTER_DELAY "garp_master_delay": DELAY, "as vrrp_garp_master_delay", Works,
        "How long after becoming master the second set of gratuitous ARPs is sent; 0 for no second set.";
    GARP_MASTER_REPEAT "garp_master_repeat": COUNT, "as vrrp_garp_master_repeat", Works,
        "How many gratuitous ARPs are sent for each address in a set.";
    GARP_MASTER_REFRESH "garp_master_refresh": DELAY, "as vrrp_garp_master_refresh", Works,
        "How often gratuitous ARPs are sent while master; 0 for never.";
    GARP_MASTER_REFRESH_REPEAT "garp_master_refresh_repeat": COUNT, "as vrrp_garp_master_refresh_repeat", Works,
        "How many gratuitous ARPs are sent for each address in a refresh.";
    GARP_LOWER_PRIO_DELAY "garp_lower_prio_delay": DELAY, "as vrrp_garp_lower_prio_delay", Works,
        "How long after an advert of lower priority the second set of gratuitous ARPs is sent.";
    GARP_LOWER_PRIO_REPEAT "garp_lower_prio_repeat": COUNT, "as vrrp_garp_lower_prio_repeat", Works,
        "How many gratuitous ARPs are sent for each address after an advert of lower priority.";
}
