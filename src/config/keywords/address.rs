//! Keywords of an address line.

use super::Effect::Works;
use super::{FLAG, Kind, Shape, arg, keywords};

keywords! {
    TABLE of Address;
    BROADCAST "brd" or "broadcast": Shape::Args(&[arg(Kind::Broadcast, "ADDRESS|+|-")]), "", Works,
        "Its broadcast address: `+` sets all bits of the host part, `-` clears them.";
    DEV "dev": Shape::Args(&[arg(Kind::Interface, "INTERFACE")]), "as interface", Works,
        "The interface that gets the address.";
    SCOPE "scope": Shape::Args(&[arg(Kind::Scope, "SCOPE")]), "global", Works,
        "How far the address is valid.";
    LABEL "label": Shape::Args(&[arg(Kind::Label, "LABEL")]), "", Works,
        "The label that old tools show it with, beginning with the interface's name.";
    PEER "peer": Shape::Args(&[arg(Kind::Prefix, "ADDRESS[/LENGTH]")]), "", Works,
        "The address at the other end of a point-to-point link.";
    NO_TRACK "no_track": FLAG, "", Works,
        "Nobody minds if somebody else removes the address.";
    TRACK_GROUP "track_group": Shape::Args(&[arg(Kind::Word, "NAME")]), "", Works,
        "The track_group whose virtual routers fail if this static address is gone for good.";
    USE_VMAC "use_vmac": FLAG, "", Works,
        "Gives an address on another interface the virtual router's MAC address too.";
    PREFERRED_LFT "preferred_lft": Shape::Args(&[arg(Kind::Lifetime, "SECONDS|forever")]), "0 for /128, else forever", Works,
        "How long an IPv6 address may be chosen as a source.";
    NODAD "-nodad": FLAG, "", Works,
        "Duplicate address detection is done for this IPv6 address; without it, it isn't.";
    HOME "home": FLAG, "", Works,
        "It is a home address (RFC 6275).";
    MNGTMPADDR "mngtmpaddr": FLAG, "", Works,
        "The kernel makes temporary addresses from this one.";
    NOPREFIXROUTE "noprefixroute": FLAG, "", Works,
        "No route to its subnet comes with it.";
    AUTOJOIN "autojoin": FLAG, "", Works,
        "The kernel joins multicast groups with it.";
}
