//! **Who plays, and with which configuration**: the published files, or those with a few lines
//! inserted.

use std::time::Duration;

use serde::Serialize;

use crate::daemon::Program;

/// The priority that both files of the experiment give.
const PRIORITY: u32 = 101;

/// Who plays whom.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cast {
    /// HostA.
    pub(crate) a: Program,
    /// HostB.
    pub(crate) b: Program,
}

/// How the published configuration is changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Setting {
    /// Whether `version 3` is inserted.
    version3: bool,
    /// The `advert_int` inserted, as written there.
    advert_int: Option<String>,
}

impl Setting {
    /// The configuration as it was published: VRRPv2, `advert_int` 1.
    pub(crate) fn published() -> Self {
        Setting::default()
    }

    /// VRRPv3, `advert_int` 0.01.
    pub(crate) fn fast() -> Self {
        Setting { version3: true, advert_int: Some("0.01".into()) }
    }

    /// Another one.
    ///
    /// # Errors
    /// If the interval is none that this version of VRRP can have, with what is expected.
    pub(crate) fn custom(version3: bool, advert_int: Option<String>) -> Result<Self, String> {
        let setting = Setting { version3, advert_int };
        let centis = setting.interval_s() * 100.0;
        let whole = (centis - centis.round()).abs() < 1e-6;
        let fits = match (version3, centis.round()) {
            (true, centis) => whole && (1.0..=4095.0).contains(&centis),
            (false, centis) => {
                whole && (100.0..=25_500.0).contains(&centis) && centis % 100.0 == 0.0
            }
        };
        match (fits, version3) {
            (true, _) => Ok(setting),
            (_, true) => Err("with --version3, --advert-int is 0.01 to 40.95, two decimals".into()),
            (_, false) => Err("without --version3, --advert-int is 1 to 255, whole seconds".into()),
        }
    }

    /// Whether it is the published one.
    pub(crate) fn as_published(&self) -> bool {
        *self == Setting::published()
    }

    /// Whether it is the fast one.
    pub(crate) fn is_fast(&self) -> bool {
        *self == Setting::fast()
    }

    /// How long the client may go without an answer in Case C: the backup's skew, and what is
    /// left of the 15 ms that the fast round has. Nobody promised anything for VRRPv2.
    pub(crate) fn silence_limit_ms(&self) -> Option<f64> {
        self.version3.then(|| (self.skew().as_secs_f64() * 1e3).floor() + 9.0)
    }

    /// The advertisement interval in seconds; not a number if it is none.
    pub(crate) fn interval_s(&self) -> f64 {
        self.advert_int.as_deref().map_or(1.0, |text| text.parse().unwrap_or(f64::NAN))
    }

    /// How long a backup waits after an advert of priority 0:
    /// RFC 3768 and RFC 9568, section 6.1 of each.
    fn skew(&self) -> Duration {
        let share = f64::from(256 - PRIORITY) / 256.0;
        let unit = if self.version3 { self.interval_s() } else { 1.0 };
        Duration::from_secs_f64(share * unit)
    }

    /// How long a backup waits for a master that says nothing.
    pub(crate) fn master_down(&self) -> Duration {
        Duration::from_secs_f64(3.0 * self.interval_s()) + self.skew()
    }

    /// A file of the experiment with the changes, inserted as first lines of its block.
    pub(crate) fn apply(&self, config: &str) -> String {
        let mut inserted = String::from("{\n");
        if self.version3 {
            inserted.push_str("    version 3\n");
        }
        if let Some(interval) = &self.advert_int {
            inserted.push_str(&format!("    advert_int {interval}\n"));
        }
        config.replacen("{\n", &inserted, 1)
    }

    /// Whether the play waits for the second set of gratuitous ARPs each time.
    pub(crate) fn patient(&self) -> bool {
        !self.is_fast()
    }

    /// What it is, for people.
    pub(crate) fn title(&self) -> String {
        let version = if self.version3 { 3 } else { 2 };
        let interval = self.advert_int.as_deref().unwrap_or("1");
        let kind = if self.as_published() { "the published configuration: " } else { "" };
        format!("{kind}VRRPv{version}, advert_int {interval} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failover::{CONFIG_A, CONFIG_B};

    #[test]
    fn the_published_setting_changes_nothing() {
        assert_eq!(Setting::published().apply(CONFIG_A), CONFIG_A);
        assert_eq!(Setting::published().apply(CONFIG_B), CONFIG_B);
    }

    #[test]
    fn the_fast_setting_adds_two_lines() {
        let config = Setting::fast().apply(CONFIG_A);
        let lines: Vec<&str> = config.lines().collect();
        assert_eq!(lines[..3], ["vrrp_instance VI_1 {", "    version 3", "    advert_int 0.01"]);
        let mut rest = lines;
        rest.drain(1..3);
        assert_eq!(rest, CONFIG_A.lines().collect::<Vec<_>>());
    }

    #[test]
    fn times_are_those_of_the_rfcs() {
        let published = Setting::published();
        assert_eq!(published.skew().as_micros(), 605_468);
        assert_eq!(published.master_down().as_micros(), 3_605_468);
        assert_eq!(published.silence_limit_ms(), None);
        let fast = Setting::fast();
        assert_eq!(fast.skew().as_micros(), 6_054);
        assert_eq!(fast.master_down().as_micros(), 36_054);
        assert_eq!(fast.silence_limit_ms(), Some(15.0));
    }

    #[test]
    fn intervals_must_fit_the_version() {
        let custom = |version3, interval: &str| Setting::custom(version3, Some(interval.into()));
        assert!(custom(true, "0.01").is_ok_and(|setting| setting.is_fast()));
        assert!(custom(true, "40.95").is_ok() && custom(false, "2").is_ok());
        for (version3, interval) in [
            (true, "0"),
            (true, "0.001"),
            (true, "41"),
            (false, "0.5"),
            (false, "256"),
            (false, "-1"),
            (true, "nan"),
            (true, "soon"),
            (true, "1e400"),
        ] {
            assert!(custom(version3, interval).is_err(), "{interval}");
        }
    }
}
