//! tshark as the judge of frames.

use std::collections::HashMap;
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::site::Site;
use crate::tap::Frame;

/// One frame as tshark reads it: its fields by name.
pub(crate) type Read = HashMap<&'static str, String>;

/// Reads the fields `fields` of all `frames`.
pub(crate) fn read(site: &Site, frames: &[Frame], fields: &[&'static str]) -> Vec<Read> {
    read_with(site, frames, fields, &["ip.check_checksum:TRUE"])
}

/// The same with some of tshark's preferences.
pub(crate) fn read_with(
    site: &Site,
    frames: &[Frame],
    fields: &[&'static str],
    preferences: &[&str],
) -> Vec<Read> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let file = site.dir.join(format!("capture-{number}.pcap"));
    fs::write(&file, pcap(frames)).expect("a capture file");
    let mut command = Command::new("tshark");
    command.arg("-r").arg(&file).args(["-n", "-T", "fields", "-E", "separator=|"]);
    for preference in preferences {
        command.args(["-o", preference]);
    }
    for field in fields {
        command.args(["-e", field]);
    }
    let output = command.output().expect("tshark runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tshark: {said}");
    let lines = String::from_utf8_lossy(&output.stdout);
    let read: Vec<Read> = lines
        .lines()
        .map(|line| fields.iter().copied().zip(line.split('|').map(str::to_owned)).collect())
        .collect();
    assert_eq!(read.len(), frames.len(), "tshark reads every frame: {said}");
    read
}

/// A capture file (`pcap-savefile(5)`), with nanoseconds.
fn pcap(frames: &[Frame]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend(word.to_le_bytes());
    }
    for frame in frames {
        let length = frame.bytes.len() as u32;
        for word in [frame.at.as_secs() as u32, frame.at.subsec_nanos(), length, length] {
            file.extend(word.to_le_bytes());
        }
        file.extend(&frame.bytes);
    }
    file
}
