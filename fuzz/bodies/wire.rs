//! What has to hold for any bytes from a link or from a client; for the fuzzer and for `cargo test`.

use viprd::control::Request;
use viprd::wire::Advert;
use viprd::wire::arp::GratuitousArp;
use viprd::wire::auth::AuthenticationHeader;
use viprd::wire::checksum::Sum;
use viprd::wire::ipv6::Ipv6Header;
use zerocopy::IntoBytes;

/// Where the message begins in a packet whose IP header has no options.
const MESSAGE_AT: usize = 20;

/// Reads the bytes as a VRRP packet, as they are and with everything put right that chance never
/// gets right; as an ARP frame; as a client's request.
pub(crate) fn survive(bytes: &[u8]) {
    if let Some((ip, mac)) = GratuitousArp::parse(bytes) {
        let again = GratuitousArp::announce(ip, mac);
        assert_eq!(GratuitousArp::parse(again.as_bytes()), Some((ip, mac)));
    }
    if let Ok(request) = Request::parse(bytes) {
        let again = Request::parse(request.to_line().trim_end().as_bytes());
        assert_eq!(again.ok().map(|again| again.to_line()), Some(request.to_line()));
    }
    advert(bytes);
    if let Some(packet) = mended(bytes) {
        advert(&packet);
    }
}

fn advert(packet: &[u8]) {
    let Ok(advert) = Advert::parse(packet) else { return };
    let ip_len = match packet[0] >> 4 {
        6 => Ipv6Header::LEN,
        _ => usize::from(packet[0] & 15) * 4,
    };
    let before = ip_len + advert.signed.map_or(0, |_| AuthenticationHeader::LEN);
    let message = &packet[before..];
    assert_eq!(message[0], advert.version.number() << 4 | 1);
    assert_eq!((message[1], message[2]), (advert.vrid, advert.priority));
    assert_eq!(usize::from(message[3]), advert.addresses.len());
}

/// The same with a header that is fit for VRRP and a checksum that is right.
fn mended(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut packet = bytes.to_vec();
    let length = u16::try_from(packet.len()).ok()?;
    packet.get_mut(..MESSAGE_AT)?[0] = 0x45;
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    (packet[8], packet[9]) = (255, 112);
    let message = packet.get_mut(MESSAGE_AT..)?;
    message.get_mut(..8)?[6..8].fill(0);
    let whole = match message[0] {
        0x21 => 8 + 4 * usize::from(message[3]) + 8,
        _ => 8 + 4 * usize::from(message[3]),
    };
    let sum = Sum::ZERO.bytes(message.get(..whole).unwrap_or_default()).checksum();
    message[6..8].copy_from_slice(&sum.to_be_bytes());
    Some(packet)
}
