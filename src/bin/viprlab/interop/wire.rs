//! **Who speaks**: what a host hands to the wire, as the port of the bridge on which it hangs
//! receives it. The frames are read here by hand: what judges viprd is not viprd's own decoder.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use viprd::base::Mac;

use crate::capture::{Capture, EVERYTHING};
use crate::topology::Namespace;

/// An advert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Advert {
    /// Version of VRRP.
    pub(super) version: u8,
    /// Version of IP.
    pub(super) ip_version: u8,
    /// The virtual router.
    pub(super) vrid: u8,
    /// The priority; 0 says that the master leaves.
    pub(super) priority: u8,
    /// The Ethernet address that it comes from.
    pub(super) source: Mac,
    /// Whether it goes to VRRP's group, on Ethernet too.
    pub(super) to_group: bool,
    /// What v2 says of authentication: 0 none, 1 a password, 2 an authentication header.
    pub(super) authentication: u8,
    /// Whether it came in an authentication header.
    pub(super) signed: bool,
    /// What its checksum covers.
    pub(super) checksum: Checksum,
}

/// What a checksum covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checksum {
    /// The message.
    Message,
    /// A pseudo-header as well.
    PseudoHeader,
    /// Neither: it is wrong.
    Wrong,
}

/// Something that a host has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// An advert.
    Advert(Advert),
    /// Where an address is: a gratuitous ARP or an unsolicited neighbour advertisement.
    Announcement(IpAddr),
}

/// Everything that a host says, from a moment on.
#[derive(Debug)]
pub(super) struct Ear {
    heard: Arc<Mutex<Vec<(Instant, Said)>>>,
    _capture: Capture,
}

impl Ear {
    /// Begins to listen at `port` of `switch`.
    ///
    /// # Errors
    /// As [`Capture::start`].
    pub(super) fn start(switch: &Namespace, port: &str) -> io::Result<Self> {
        let heard = Arc::<Mutex<Vec<(Instant, Said)>>>::default();
        let into = Arc::clone(&heard);
        // A port of a bridge hands frames to the bridge before anyone who wants a certain EtherType.
        let capture = Capture::start(switch, port, EVERYTHING, move |at, frame| {
            if let Some(said) = understand(frame) {
                into.lock().unwrap_or_else(PoisonError::into_inner).push((at, said));
            }
        })?;
        Ok(Ear { heard, _capture: capture })
    }

    /// The adverts at `since` or later, in order.
    pub(super) fn adverts(&self, since: Instant) -> Vec<(Instant, Advert)> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let adverts = heard.iter().filter_map(|&(at, said)| match said {
            Said::Advert(advert) if at >= since => Some((at, advert)),
            _ => None,
        });
        adverts.collect()
    }

    /// Whether `address` was announced at `since` or later.
    pub(super) fn announced(&self, address: IpAddr, since: Instant) -> bool {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.iter().any(|&(at, said)| at >= since && said == Said::Announcement(address))
    }
}

/// What an Ethernet frame says, should it be of interest.
fn understand(frame: &[u8]) -> Option<Said> {
    let destination = mac(frame.get(..6)?)?;
    let source = mac(frame.get(6..12)?)?;
    let body = frame.get(14..)?;
    match frame.get(12..14)? {
        [0x08, 0x00] => {
            let header = usize::from(body.first()? & 15) * 4;
            let length = usize::from(u16::from_be_bytes(body.get(2..4)?.try_into().ok()?));
            let payload = body.get(header..length)?;
            let (message, signed) = match (body.get(9)?, payload) {
                (112, message) => (message, false),
                // RFC 2402: what follows, the length in words less two, ...
                (51, [112, words, ..]) => (payload.get((usize::from(*words) + 2) * 4..)?, true),
                _ => return None,
            };
            let group = Mac([1, 0, 0x5e, 0, 0, 18]);
            let to_group = destination == group && body.get(16..20)? == [224, 0, 0, 18];
            let advert = advert(message, 4, body.get(12..20)?)?;
            Some(Said::Advert(Advert { source, to_group, signed, ..advert }))
        }
        [0x86, 0xdd] => {
            let length = usize::from(u16::from_be_bytes(body.get(4..6)?.try_into().ok()?));
            let message = body.get(40..40 + length)?;
            match (body.get(6)?, message.first()?) {
                (112, _) => {
                    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 18);
                    let to_group = destination == Mac([0x33, 0x33, 0, 0, 0, 18])
                        && body.get(24..40)? == group.octets();
                    let advert = advert(message, 6, body.get(8..40)?)?;
                    Some(Said::Advert(Advert { source, to_group, ..advert }))
                }
                // RFC 4861 section 4.4; an answer to somebody is marked as solicited.
                (58, 136) if message.get(4)? & 0x40 == 0 => {
                    let target = <[u8; 16]>::try_from(message.get(8..24)?).ok()?;
                    Some(Said::Announcement(Ipv6Addr::from(target).into()))
                }
                _ => None,
            }
        }
        // RFC 826; in a gratuitous one sender and target are the same.
        [0x08, 0x06] if body.get(14..18)? == body.get(24..28)? => {
            let sender = <[u8; 4]>::try_from(body.get(14..18)?).ok()?;
            Some(Said::Announcement(Ipv4Addr::from(sender).into()))
        }
        _ => None,
    }
}

/// The advert that a VRRP message is; `ends` are the addresses of its IP header.
fn advert(message: &[u8], ip_version: u8, ends: &[u8]) -> Option<Advert> {
    let [first, vrid, priority, _, fifth, _, _, _, ..] = *message else { return None };
    let version = first >> 4;
    if first & 15 != 1 {
        return None;
    }
    // RFC 9293 section 3.1, RFC 8200 section 8.1: addresses, length, protocol; all added up in
    // words, whose order does not matter to the sum.
    let sum = sum_of(message);
    let with_header = sum + sum_of(ends) + message.len() as u32 + 112;
    let checksum = match (folded(sum), folded(with_header)) {
        (0xffff, _) => Checksum::Message,
        (_, 0xffff) => Checksum::PseudoHeader,
        _ => Checksum::Wrong,
    };
    let authentication = if version == 2 { fifth } else { 0 };
    let (source, to_group, signed) = (Mac([0; 6]), false, false);
    Some(Advert {
        version,
        ip_version,
        vrid,
        priority,
        source,
        to_group,
        authentication,
        signed,
        checksum,
    })
}

fn sum_of(bytes: &[u8]) -> u32 {
    let words = bytes.chunks(2).map(|pair| [pair[0], pair.get(1).copied().unwrap_or(0)]);
    words.map(|pair| u32::from(u16::from_be_bytes(pair))).sum()
}

fn folded(mut sum: u32) -> u32 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum
}

fn mac(bytes: &[u8]) -> Option<Mac> {
    bytes.try_into().ok().map(Mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: [u8; 6] = [2, 0x76, 0, 1, 0, 0];

    fn ethernet(destination: [u8; 6], ethertype: [u8; 2], body: &[u8]) -> Vec<u8> {
        [&destination[..], &SOURCE, &ethertype, body].concat()
    }

    #[test]
    fn adverts_of_both_families_are_read() {
        let mut body = vec![0; 20];
        (body[0], body[3], body[9]) = (0x45, 32, 112);
        body[16..20].copy_from_slice(&[224, 0, 0, 18]);
        // 2133 + c801 + 0001 + 0a09 + 0032 = f370
        body.extend([0x21, 51, 200, 1, 0, 1, 0x0c, 0x8f, 10, 9, 0, 50]);
        let frame = ethernet([1, 0, 0x5e, 0, 0, 18], [8, 0], &body);
        let expected = Advert {
            version: 2,
            ip_version: 4,
            vrid: 51,
            priority: 200,
            source: Mac(SOURCE),
            to_group: true,
            authentication: 0,
            signed: false,
            checksum: Checksum::Message,
        };
        assert_eq!(understand(&frame), Some(Said::Advert(expected)));
        // Padding of Ethernet does not belong to it.
        assert_eq!(understand(&[&frame[..], &[7; 14]].concat()), Some(Said::Advert(expected)));
        // To one host by Ethernet, though IP says to the group.
        let frame = ethernet([2, 0x76, 0, 2, 0, 0], [8, 0], &body);
        let expected = Advert { to_group: false, ..expected };
        assert_eq!(understand(&frame), Some(Said::Advert(expected)));

        // The same in an authentication header, with a password too, and a wrong checksum.
        let mut signed = body[..20].to_vec();
        (signed[3], signed[9]) = (32 + 24, 51);
        signed.extend([&[112, 4][..], &[0; 22], &body[20..]].concat());
        signed[48] = 1;
        let frame = ethernet([2, 0x76, 0, 2, 0, 0], [8, 0], &signed);
        let checksum = Checksum::Wrong;
        let expected = Advert { authentication: 1, signed: true, checksum, ..expected };
        assert_eq!(understand(&frame), Some(Said::Advert(expected)));

        let mut body = vec![0; 40];
        (body[0], body[5], body[6]) = (0x60, 8, 112);
        (body[24], body[25], body[39]) = (0xff, 2, 18);
        // 3133 + 0001 + 0014, and ff02 + 0012 + 0008 + 0070: 130d4, folded 30d5.
        body.extend([0x31, 51, 0, 1, 0, 20, 0xcf, 0x2a]);
        let frame = ethernet([0x33, 0x33, 0, 0, 0, 18], [0x86, 0xdd], &body);
        let Some(Said::Advert(advert)) = understand(&frame) else { panic!("no advert") };
        assert_eq!((advert.version, advert.ip_version, advert.priority), (3, 6, 0));
        assert_eq!((advert.to_group, advert.checksum), (true, Checksum::PseudoHeader));
        for length in 0..frame.len() {
            assert_eq!(understand(&frame[..length]), None);
        }
    }

    #[test]
    fn announcements_are_told_from_answers() {
        let mut arp = vec![0; 28];
        arp[14..18].copy_from_slice(&[10, 9, 0, 50]);
        arp[24..28].copy_from_slice(&[10, 9, 0, 50]);
        let said = Said::Announcement(IpAddr::from([10, 9, 0, 50]));
        assert_eq!(understand(&ethernet([0xff; 6], [8, 6], &arp)), Some(said));
        arp[27] = 1;
        assert_eq!(understand(&ethernet([0xff; 6], [8, 6], &arp)), None);

        let mut body = vec![0; 64];
        (body[5], body[6], body[40], body[44]) = (24, 58, 136, 0x20);
        (body[48], body[49], body[63]) = (0xfe, 0x80, 0x50);
        let said = Said::Announcement("fe80::50".parse().expect("an address"));
        assert_eq!(understand(&ethernet([0xff; 6], [0x86, 0xdd], &body)), Some(said));
        body[44] = 0x60;
        assert_eq!(understand(&ethernet([0xff; 6], [0x86, 0xdd], &body)), None);
    }
}
