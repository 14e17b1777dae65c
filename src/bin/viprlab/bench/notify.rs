//! **Scripts at a mass failover**: each router that is taken over runs a notify script; what that does
//! to the adverts of others.

use std::io;
use std::path::{Path, PathBuf};

use super::interval::Intervals;
use super::measure::{
    Histogram, MEANWHILE_MAX, MEANWHILE_P50, MEANWHILE_P99, MEANWHILE_P999, QUIET_MAX, QUIET_P50,
    QUIET_P99, QUIET_P999, SCRIPTS_LOST, SCRIPTS_TIME, Sheet,
};
use super::scene::{Scene, Side};
use super::tap::Frame;

/// What the scripts do: they tell that they have run, in a line of less than a pipe's worth.
const SCRIPT: &str = "#!/bin/sh\nprintf '%s %s\\n' \"$1\" \"$2\" >> ";

/// Where the scripts of a play are, and what they have written.
pub(super) struct Scripts {
    told: PathBuf,
}

impl Scripts {
    /// Writes the script, and the configuration of `side` with it.
    pub(super) fn prepare(
        directory: &Path,
        scene: &Scene,
        side: Side,
        config: &Path,
    ) -> io::Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        let (script, told) = (directory.join("notify"), directory.join("notified"));
        std::fs::write(&script, format!("{SCRIPT}{}\n", told.display()))?;
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
        let mut text = String::from("global_defs {\n    script_user root\n}\n\n");
        for (number, block) in scene.config(side).split_inclusive("\n}\n\n").enumerate() {
            let group = scene.routers().get(number).map(|router| router.group);
            match block.strip_suffix("}\n\n") {
                Some(body) if group == Some(0) => {
                    let script = script.display();
                    text.push_str(body);
                    text.push_str(&format!(
                        "    notify_master \"{script} R{number} MASTER\"\n}}\n\n"
                    ));
                }
                _ => text.push_str(block),
            }
        }
        std::fs::write(config, text)?;
        Ok(Scripts { told })
    }

    /// How many have run to their end.
    pub(super) fn ran(&self) -> usize {
        let bytes = std::fs::read(&self.told).unwrap_or_default();
        bytes.iter().filter(|&&byte| byte == b'\n').count()
    }

    /// How many routers of whom it is told.
    pub(super) fn routers(&self) -> usize {
        let text = std::fs::read_to_string(&self.told).unwrap_or_default();
        let mut names: Vec<&str> =
            text.lines().filter_map(|line| line.split_once(' ').map(|(name, _)| name)).collect();
        names.sort_unstable();
        names.dedup();
        names.len()
    }
}

/// When what happened, in nanoseconds.
pub(super) struct Times {
    /// The look began.
    pub(super) begin: u64,
    /// A failed.
    pub(super) event: u64,
    /// The first deadline of a router that is taken over.
    pub(super) deadline: u64,
    /// The last script had run.
    pub(super) end: u64,
}

/// Writes down how the others kept their intervals before and while the scripts ran.
pub(super) fn put(
    scene: &Scene,
    frames: &[Frame],
    times: &Times,
    (ran, routers): (usize, usize),
    sheet: &mut Sheet,
) -> [Histogram; 2] {
    let others = scene.routers();
    let other = |router: usize| others.get(router).is_some_and(|router| router.group > 0);
    let before = Intervals::of(scene, frames, other, (times.begin, times.event));
    let during = Intervals::of(scene, frames, other, (times.deadline, times.end));
    let lost = scene.main().routers.saturating_sub(routers.min(ran));
    sheet.push((SCRIPTS_LOST, lost as f64));
    sheet.push((SCRIPTS_TIME, times.end.saturating_sub(times.deadline) as f64 / 1e6));
    for (intervals, measures) in [
        (&before, [QUIET_P50, QUIET_P99, QUIET_P999, QUIET_MAX]),
        (&during, [MEANWHILE_P50, MEANWHILE_P99, MEANWHILE_P999, MEANWHILE_MAX]),
    ] {
        for (measure, share) in measures.into_iter().zip([0.5, 0.99, 0.999, 1.0]) {
            sheet.push((measure, intervals.error(share)));
        }
    }
    [before.histogram(), during.histogram()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::scene::Group;

    #[test]
    fn every_router_of_the_main_group_has_a_script_and_no_other() {
        let scene =
            Scene::of(Group::of(3, 1000)).with(Group { home: Side::B, ..Group::of(2, 100) });
        let directory = std::env::temp_dir().join(format!("viprlab-notify-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let config = directory.join("b.conf");
        let scripts = Scripts::prepare(&directory, &scene, Side::B, &config).unwrap();
        let text = std::fs::read_to_string(&config).unwrap();
        assert_eq!((scripts.ran(), scripts.routers()), (0, 0));
        assert_eq!(text.matches("notify_master").count(), 3, "{text}");
        assert_eq!(text.matches("vrrp_instance").count(), 5);
        assert!(text.contains("R2 MASTER\"\n}\n"), "{text}");
        std::fs::write(&scripts.told, "R1 MASTER\nR2 MASTER\nR1 MASTER\n").unwrap();
        assert_eq!((scripts.ran(), scripts.routers()), (3, 2));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
