//! Keywords of the lines that say what is tracked.

use super::Effect::NotYet;
use super::{Kind, Shape, arg, keywords, maybe};

keywords! {
    INTERFACE_TABLE of TrackInterface;
    INTERFACE_WEIGHT "weight":
        Shape::Args(&[arg(Kind::Int(-253, 253, ""), "WEIGHT"), maybe(Kind::Choice(&["reverse", "noreverse"]), "reverse")]),
        "0", NotYet,
        "What is added to the priority while the interface is up, or taken from it while it is down; 0 makes it a must.";
}
