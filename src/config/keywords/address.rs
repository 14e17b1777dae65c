//! Keywords of an address line.

use super::Effect::Works;
use super::{Kind, Shape, arg, keywords};

keywords! {
    TABLE of Address;
    DEV "dev": Shape::Args(&[arg(Kind::Interface, "INTERFACE")]), "as interface", Works,
        "The interface that gets the address.";
    BROADCAST "brd" or "broadcast": Shape::Args(&[arg(Kind::Broadcast, "ADDRESS|+|-")]), "", Works,
        "Its broadcast address: `+` sets all bits of the host part, `-` clears them.";
    LABEL "label": Shape::Args(&[arg(Kind::Label, "LABEL")]), "", Works,
        "The label that old tools show it with, beginning with the interface's name.";
    SCOPE "scope": Shape::Args(&[arg(Kind::Scope, "SCOPE")]), "global", Works,
        "How far the address is valid.";
}
