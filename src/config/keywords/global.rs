//! Keywords of `global_defs`.

use super::Effect::Works;
use super::{Kind, Shape, arg, keywords};

const COUNT: Shape = Shape::Args(&[arg(Kind::Int(0, 2_147_483_647, ""), "COUNT")]);
const DELAY: Shape = Shape::Args(&[arg(Kind::Int(0, 86_400, "seconds"), "SECONDS")]);

keywords! {
    TABLE of Global;
    ROUTER_ID "router_id": Shape::Args(&[arg(Kind::Word, "NAME")]), "the host's name", Works,
        "Who this daemon says it is.";
    VRRP_VERSION "vrrp_version": Shape::Args(&[arg(Kind::Int(2, 3, ""), "2|3")]), "2", Works,
        "The protocol version of virtual routers that don't give one.";
    VRRP_GARP_MASTER_DELAY "vrrp_garp_master_delay": DELAY, "5", Works,
        "How long after becoming master the second set of gratuitous ARPs is sent; 0 for no second set.";
    VRRP_GARP_MASTER_REPEAT "vrrp_garp_master_repeat": COUNT, "5", Works,
        "How many gratuitous ARPs are sent for each address in a set.";
    VRRP_GARP_MASTER_REFRESH "vrrp_garp_master_refresh": DELAY, "0", Works,
        "How often gratuitous ARPs are sent while master; 0 for never.";
    VRRP_GARP_MASTER_REFRESH_REPEAT "vrrp_garp_master_refresh_repeat": COUNT, "1", Works,
        "How many gratuitous ARPs are sent for each address in a refresh.";
    VRRP_GARP_LOWER_PRIO_DELAY "vrrp_garp_lower_prio_delay": DELAY, "as vrrp_garp_master_delay", Works,
        "How long after an advert of lower priority the second set of gratuitous ARPs is sent.";
    VRRP_GARP_LOWER_PRIO_REPEAT "vrrp_garp_lower_prio_repeat": COUNT, "as vrrp_garp_master_repeat", Works,
        "How many gratuitous ARPs are sent for each address after an advert of lower priority.";
}
