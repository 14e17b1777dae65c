//! Keywords outside of all blocks.

use super::Effect::{NotYet, OutOfScope, Works};
use super::{Naming::Named, Naming::Unnamed, Place, Shape, keywords};

keywords! {
    TABLE of Root;
    GLOBAL_DEFS "global_defs": Shape::Block(Place::Global, Unnamed), "", Works,
        "Settings of the daemon, and defaults of all virtual routers.";
    VRRP_INSTANCE "vrrp_instance": Shape::Block(Place::Instance, Named), "", Works,
        "One virtual router.";
    VRRP_SCRIPT "vrrp_script": Shape::Anything, "", NotYet,
        "A command that is run periodically and whose result virtual routers track.";
    VRRP_SYNC_GROUP "vrrp_sync_group": Shape::Anything, "", NotYet,
        "Virtual routers that are master together or not at all.";
    STATIC_IPADDRESS "static_ipaddress": Shape::Anything, "", NotYet,
        "Addresses that are there as long as the daemon runs.";
    STATIC_ROUTES "static_routes": Shape::Anything, "", NotYet,
        "Routes that are there as long as the daemon runs.";
    VIRTUAL_SERVER "virtual_server": Shape::Anything, "", OutOfScope,
        "A service balanced by IPVS.";
    VIRTUAL_SERVER_GROUP "virtual_server_group": Shape::Anything, "", OutOfScope,
        "Addresses of services balanced by IPVS.";
    SSL "SSL": Shape::Anything, "", OutOfScope,
        "Certificates for health checks.";
}
