//! **Whether a configuration means something**: what contradicts itself, what can't be sent, names
//! that lead nowhere, and traps that others fell into.

mod lines;
mod names;
mod router;
mod strict;
mod wire;

use super::Options;
use super::diagnostic::{Diagnostic, Findings};
use super::facts::Facts;
use super::keywords::{Key, root};
use super::model::Section;
use super::source::TextSpan;

/// Checks a model, and tells which of its virtual routers can run, in the order of the file.
pub(super) fn check<'m>(
    model: &'m Section,
    globals: &'m Section,
    options: &Options,
    findings: &mut Findings,
) -> Vec<Facts<'m>> {
    let mut check = Check { findings };
    let routers: Vec<Facts<'m>> =
        model.blocks(root::VRRP_INSTANCE).map(|section| Facts::of(section, globals)).collect();
    let routers = check.unique_routers(routers);
    for router in &routers {
        check.router(router);
        check.tracking(router);
        if router.strict {
            check.strict(router);
        }
    }
    check.strict_in_general(globals, &routers);
    check.global_settings(globals);
    check.static_lines(model);
    check.names(model, globals, &routers, options);
    check.delays(model, &routers);
    let routers = check.distinct_on_the_wire(routers);
    check.shared_addresses(&routers);
    routers.into_iter().filter(Facts::is_complete).collect()
}

/// Where findings go.
struct Check<'f> {
    findings: &'f mut Findings,
}

impl Check<'_> {
    fn tell(&mut self, finding: Diagnostic) {
        self.findings.push(finding);
    }
}

/// Where a block's name stands.
fn name_span(section: &Section) -> TextSpan {
    section.name.as_ref().map_or(TextSpan::default(), |name| name.span)
}

/// Where a setting's value stands, else the block's name.
fn value_span(section: &Section, key: Key) -> TextSpan {
    section.get(key).map_or_else(|| name_span(section), |setting| setting.value_span())
}

/// Where a setting's keyword stands, else the block's name.
fn keyword_span(section: &Section, key: Key) -> TextSpan {
    section.get(key).map_or_else(|| name_span(section), |setting| setting.span)
}
