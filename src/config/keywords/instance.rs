//! Keywords of `vrrp_instance`, and of the blocks inside it that hold settings.

use super::Effect::{Missing, Moot, NotYet, OutOfScope, Works};
use super::Naming::Unnamed;
use super::{COUNT, DELAY, FLAG, Kind, Place, SWITCH, Shape, arg, keywords, many, maybe};

const ADDRESS: Shape = Shape::Args(&[arg(Kind::Ip, "ADDRESS")]);
const SECONDS: u64 = 1_000_000;

keywords! {
    TABLE of Instance;
    // What it is.
    STATE "state": Shape::Args(&[arg(Kind::Choice(&["MASTER", "BACKUP"]), "MASTER|BACKUP")]), "BACKUP", Works,
        "The state that is expected at first; priorities decide what it really becomes.";
    INTERFACE "interface": Shape::Args(&[arg(Kind::Interface, "INTERFACE")]), "as default_interface, if that is given", Works,
        "The interface that carries its adverts, and its addresses unless they say otherwise.";
    VIRTUAL_ROUTER_ID "virtual_router_id": Shape::Args(&[arg(Kind::Int(1, 255, ""), "ID")]), "", Works,
        "Its number on the wire, the same on all routers that share its addresses.";
    PRIORITY "priority": Shape::Args(&[arg(Kind::Int(1, 255, ""), "PRIORITY")]), "100", Works,
        "How much it wants to be master; 255 says that it owns the addresses.";
    ADVERT_INT "advert_int": Shape::Args(&[arg(Kind::Seconds(10_000, 255 * SECONDS), "SECONDS")]), "1", Works,
        "How often it sends adverts while master: whole seconds with VRRPv2, hundredths up to 40.95 with VRRPv3.";
    VERSION "version": Shape::Args(&[arg(Kind::Int(2, 3, ""), "2|3")]), "as vrrp_version", Works,
        "The protocol version it speaks.";
    // What it carries.
    VIRTUAL_IPADDRESS "virtual_ipaddress": Shape::Lines(Place::Address), "", Works,
        "The addresses it carries, listed in its adverts; all of one family.";
    VIRTUAL_IPADDRESS_EXCLUDED "virtual_ipaddress_excluded": Shape::Lines(Place::Address), "", Works,
        "Further addresses that its adverts don't list, of either family.";
    VIRTUAL_ROUTES "virtual_routes": Shape::Lines(Place::Route), "", Works,
        "Routes that exist while it is master.";
    VIRTUAL_RULES "virtual_rules": Shape::Lines(Place::Rule), "", Works,
        "Policy rules that exist while it is master.";
    NO_VIRTUAL_IPADDRESS "no_virtual_ipaddress": FLAG, "", Works,
        "Says that it has no addresses on purpose.";
    PROMOTE_SECONDARIES "promote_secondaries": FLAG, "", Works,
        "Keeps other addresses of a subnet when the first of them is removed.";
    // Who it speaks with.
    AUTHENTICATION "authentication": Shape::Block(Place::Authentication, Unnamed), "", Works,
        "A password or signature in VRRPv2 adverts, which RFC 3768 took out of the protocol.";
    AUTH_HMAC "auth_hmac": Shape::Block(Place::Hmac, Unnamed), "", NotYet,
        "Keys that sign adverts with HMAC-SHA256.";
    UNICAST_PEER "unicast_peer": Shape::Lines(Place::UnicastPeer), "", Works,
        "The other routers: adverts go to each of them, not to the multicast group; its own address among them is passed over.";
    UNICAST_SRC_IP "unicast_src_ip": ADDRESS, "the first address of the interface; over IPv6 the link-local one", Works,
        "The source address of its unicast adverts.";
    MCAST_SRC_IP "mcast_src_ip": ADDRESS, "the first address of the interface; over IPv6 the link-local one", Works,
        "The source address of its multicast adverts; of the two, the one given last holds for both.";
    UNICAST_TTL "unicast_ttl": Shape::Args(&[arg(Kind::Int(0, 255, ""), "TTL")]), "255", Works,
        "The TTL or hop limit of unicast adverts.";
    UNICAST_FAULT_NO_PEER "unicast_fault_no_peer": FLAG, "", Works,
        "Without peers it is in FAULT, instead of using multicast.";
    CHECK_UNICAST_SRC "check_unicast_src": FLAG, "as vrrp_check_unicast_src", Works,
        "Drops unicast adverts that don't come from a configured peer.";
    OLD_UNICAST_CHECKSUM "old_unicast_checksum": Shape::Args(&[maybe(Kind::Choice(&["never"]), "never")]), "", Works,
        "Adverts of VRRPv3 over IPv4 to unicast peers have the checksum of keepalived before 1.3.6; with never it isn't taken from them either. Without the word it is used once it is heard.";
    MCAST_DST_IP "mcast_dst_ip": Shape::Args(&[arg(Kind::Ip, "GROUP")]), "as vrrp_mcast_group4 or vrrp_mcast_group6", Works,
        "The multicast group that its adverts go to.";
    TRACK_SRC_IP "track_src_ip": FLAG, "", Works,
        "It is in FAULT while no interface of the host has the source address that is given.";
    NATIVE_IPV6 "native_ipv6": FLAG, "", Works,
        "It is a virtual router of IPv6 even if no address says so.";
    // Interfaces of its own.
    USE_VMAC "use_vmac": Shape::Args(&[
            maybe(Kind::VmacName, "NAME"), maybe(Kind::Mac, "MAC"),
            maybe(Kind::Choice(&["netlink_notify_msg"]), "netlink_notify_msg"),
            maybe(Kind::Keyed("group"), "group GROUP"),
        ]), "", Works,
        "Gives its addresses the virtual router's MAC address, on an interface made for it; adverts have that address as source, too.";
    VMAC_XMIT_BASE "vmac_xmit_base": FLAG, "", Works,
        "With use_vmac, adverts keep the MAC address of the interface below.";
    USE_VMAC_ADDR "use_vmac_addr": FLAG, "", Works,
        "Also gives such interfaces to addresses on other interfaces.";
    USE_IPVLAN "use_ipvlan": Shape::Args(&[
            maybe(Kind::VmacName, "NAME"), maybe(Kind::Prefix, "ADDRESS[/LENGTH]"),
            maybe(Kind::Choice(&["bridge", "private", "vepa"]), "bridge|private|vepa"),
        ]), "", Missing,
        "Makes an ipvlan interface for its addresses.";
    VRF "vrf": Shape::Args(&[arg(Kind::Interface, "INTERFACE")]), "", NotYet,
        "The VRF that it works in, if it has no interface.";
    // What it depends on.
    DONT_TRACK_PRIMARY "dont_track_primary": FLAG, "", Works,
        "Its own interface may be down.";
    TRACK_INTERFACE "track_interface": Shape::Lines(Place::TrackInterface), "", Works,
        "Interfaces that must be up, or that change its priority.";
    TRACK_SCRIPT "track_script": Shape::Lines(Place::TrackScript), "", Works,
        "Scripts that must succeed, or that change its priority.";
    TRACK_FILE "track_file": Shape::Lines(Place::TrackFileUse), "", Works,
        "Files whose number changes its priority.";
    TRACK_PROCESS "track_process": Shape::Lines(Place::TrackProcessUse), "", Works,
        "Programs that must run, or that change its priority.";
    TRACK_BFD "track_bfd": Shape::Lines(Place::TrackBfd), "", Missing,
        "BFD sessions that must be up, or that change its priority.";
    VIPRD_TRACK_SET "viprd_track_set": Shape::Lines(Place::TrackSetUse), "", Works,
        "Sets of interfaces and scripts that must be good, or that change its priority.";
    // How it decides.
    NOPREEMPT "nopreempt": FLAG, "", Works,
        "It never displaces a master of lower priority.";
    PREEMPT "preempt": FLAG, "", Works,
        "It displaces a master of lower priority, which is the default.";
    PREEMPT_DELAY "preempt_delay": Shape::Args(&[arg(Kind::Seconds(0, 1000 * SECONDS), "SECONDS")]), "0", Works,
        "How long it waits before it displaces a master of lower priority.";
    ACCEPT "accept": FLAG, "", Works,
        "It takes traffic for its addresses even if it doesn't own them, which is the default.";
    NO_ACCEPT "no_accept": FLAG, "", Works,
        "It drops traffic for its addresses unless it owns them.";
    STRICT_MODE "strict_mode": SWITCH, "as vrrp_strict", Works,
        "Allows nothing that the VRRP RFCs don't have.";
    SKIP_CHECK_ADV_ADDR "skip_check_adv_addr": SWITCH, "as vrrp_skip_check_adv_addr", Works,
        "Compares the addresses of an advert with its own ones only when the master changes.";
    V3_CHECKSUM_AS_V2 "v3_checksum_as_v2": SWITCH, "as in global_defs", Works,
        "The checksum of VRRPv3 over IPv4 covers the message alone, without a pseudo-header.";
    VIPRD_V3_CHECKSUM "viprd_v3_checksum": Shape::Args(&[arg(Kind::Choice(&["auto", "rfc9568", "rfc5798"]), "auto|rfc9568|rfc5798")]), "as in global_defs", Works,
        "What the checksum of VRRPv3 over IPv4 covers: the message alone, a pseudo-header too, or what the others do.";
    VIPRD_ALSO_V2 "viprd_also_v2": FLAG, "", Works,
        "A virtual router of VRRPv3 over IPv4 speaks VRRPv2 as well, to replace routers that know no other one by one: as master it sends both, as backup it follows either.";
    DOWN_TIMER_ADVERTS "down_timer_adverts": Shape::Args(&[arg(Kind::Int(1, 100, ""), "COUNT")]), "as vrrp_down_timer_adverts", Works,
        "How many adverts must be missed before the master counts as gone.";
    LOWER_PRIO_NO_ADVERT "lower_prio_no_advert": SWITCH, "as vrrp_lower_prio_no_advert", Works,
        "As master it doesn't answer adverts of lower priority.";
    HIGHER_PRIO_SEND_ADVERT "higher_prio_send_advert": SWITCH, "as vrrp_higher_prio_send_advert", Works,
        "As master it sends a last advert of its own when it gives way to a higher priority.";
    OWNER_IGNORE_ADVERTS "owner_ignore_adverts": SWITCH, "as vrrp_owner_ignore_adverts", Works,
        "As owner of the addresses it takes no notice of others' adverts.";
    TIMER_EXPIRED_BACKUP "timer_expired_backup" or "thread_timer_expired": FLAG, "", NotYet,
        "As master it steps down when the daemon was stopped for too long.";
    // Gratuitous ARP.
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
    GARP_LOWER_PRIO_REPEAT "garp_lower_prio_repeat": Shape::Args(&[arg(Kind::Int(0, 2_147_483_647, ""), "COUNT")]), "as vrrp_garp_lower_prio_repeat", Works,
        "How many gratuitous ARPs are sent for each address after an advert of lower priority.";
    GARP_EXTRA_IF "garp_extra_if" or "vmac_garp_intvl": Shape::Args(&[maybe(Kind::Choice(&["all"]), "all"), arg(Kind::Int(0, 86_400, "seconds"), "SECONDS")]), "as vrrp_garp_extra_if", Works,
        "How often gratuitous ARPs are sent on other interfaces that have addresses: those made for use_vmac, or all.";
    GARP_INTERVAL "garp_interval": Shape::Args(&[arg(Kind::Seconds(0, 4_294_967_295), "SECONDS")]), "",
        Moot("it stands in global_defs as vrrp_garp_interval, or in garp_group"),
        "What VyOS writes here although keepalived takes no notice of it.";
    // Whom it tells.
    NOTIFY_MASTER "notify_master": Shape::Command, "", Works,
        "Run when it becomes master.";
    NOTIFY_BACKUP "notify_backup": Shape::Command, "", Works,
        "Run when it becomes backup.";
    NOTIFY_PRIMARY "notify_primary": Shape::Command, "", Moot("keepalived knows it as notify_master only"),
        "What CloudStack writes although keepalived takes no notice of it.";
    NOTIFY_FAULT "notify_fault": Shape::Command, "", Works,
        "Run when it enters FAULT.";
    NOTIFY_STOP "notify_stop": Shape::Command, "", Works,
        "Run when it stops.";
    NOTIFY_DELETED "notify_deleted": Shape::OptionalCommand, "", Works,
        "Run when a reload removes it; even without a command, others are then told DELETED instead of FAULT.";
    NOTIFY "notify": Shape::Command, "", Works,
        "Run at every change, with INSTANCE, its name, the state and its priority as further arguments.";
    NOTIFY_MASTER_RX_LOWER_PRI "notify_master_rx_lower_pri": Shape::Command, "", Works,
        "Run when it hears an advert of lower priority as master.";
    NOTIFY_PRIORITY_CHANGES "notify_priority_changes": SWITCH, "as vrrp_notify_priority_changes", Works,
        "Also tells the named pipes of changed priorities.";
    SMTP_ALERT "smtp_alert": SWITCH, "as smtp_alert_vrrp", Works,
        "Sends mail at every change of state.";
    // The rest.
    DEBUG "debug": Shape::Args(&[arg(Kind::Int(0, 4, ""), "LEVEL")]), "0", Moot("it never had one"),
        "A debug level.";
    KERNEL_RX_BUF_SIZE "kernel_rx_buf_size": Shape::Args(&[arg(Kind::Int(1, 4_294_967_295, "bytes"), "BYTES")]), "as vrrp_rx_bufs_policy", Works,
        "The least size of the receive buffer for its adverts.";
    LINKBEAT_USE_POLLING "linkbeat_use_polling": FLAG, "", Moot("the kernel reports every change of a link"),
        "The link of its interface is polled.";
    LVS_SYNC_DAEMON_INTERFACE "lvs_sync_daemon_interface": Shape::Anything, "", OutOfScope,
        "The interface that IPVS connections are synchronised on.";
}

/// Keywords of `authentication`.
pub mod authentication {
    use super::super::Effect::Works;
    use super::{Kind, Shape, arg, keywords};

    keywords! {
        TABLE of Authentication;
        AUTH_TYPE "auth_type": Shape::Args(&[arg(Kind::Choice(&["PASS", "AH"]), "PASS|AH")]), "", Works,
            "A password in clear text, or the signature of an IPsec authentication header.";
        AUTH_PASS "auth_pass": Shape::Args(&[arg(Kind::Word, "PASSWORD")]), "", Works,
            "The password; its first eight bytes count.";
    }
}

/// Keywords of `auth_hmac`.
pub mod hmac {
    use super::super::Effect::NotYet;
    use super::{Kind, Shape, arg, keywords, many};

    keywords! {
        TABLE of Hmac;
        KEY "key": Shape::List(&[arg(Kind::Int(0, 255, ""), "ID"), arg(Kind::Word, "SECRET"), many(Kind::Word, "SECRET")]), "", NotYet,
            "A key and its number; there may be several.";
        ACTIVE_KEY "active_key": Shape::Args(&[arg(Kind::Int(0, 255, ""), "ID")]), "", NotYet,
            "The key that adverts are signed with.";
        TIME_WINDOW "time_window": Shape::Args(&[arg(Kind::Seconds(0, 4_294_000_000), "SECONDS")]), "", NotYet,
            "How far a signed advert's time may be off.";
        ANTI_REPLAY "anti_replay": Shape::Args(&[arg(Kind::Choice(&["time", "monotonic"]), "time|monotonic")]), "", NotYet,
            "How a repeated advert is known: by its time or by its number.";
        MODE "mode": Shape::Args(&[arg(Kind::Choice(&["enforce", "permissive", "receive-only"]), "enforce|permissive|receive-only")]), "", NotYet,
            "Whether adverts without a signature are refused.";
    }
}
