//! Authentication of v2 adverts (RFC 2338 section 5.3.6): a password in clear text, or an IPsec
//! authentication header with HMAC-MD5-96 (RFC 2402, RFC 2403).
//!
//! RFC 3768 took both out of the protocol; keepalived still speaks them. The password protects from
//! mistakes only. The header proves who sent the packet, and that nothing but what routers may change
//! was changed on the way.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac as _};
use md5::Md5;
use zerocopy::byteorder::network_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::ipv4::{Ipv4Header, PROTOCOL_VRRP};

/// The IP protocol number of the authentication header (RFC 2402).
pub const PROTOCOL_AH: u8 = 51;

/// How a virtual router of v2 authenticates its adverts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Authentication {
    /// Not at all (RFC 3768).
    #[default]
    None,
    /// A password in clear text (RFC 2338 section 5.3.6.2).
    Password(Secret),
    /// An IPsec authentication header (RFC 2338 section 5.3.6.3).
    Header(Secret),
}

/// Eight bytes that the routers of a group share. Never shown.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Secret([u8; 8]);

/// An authentication header as it is on the wire, HMAC-MD5-96 in it.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct AuthenticationHeader {
    /// The protocol of what follows.
    pub next_header: u8,
    /// Its own length in 32-bit words, less two: 4.
    pub payload_len: u8,
    /// Zero.
    pub reserved: [u8; 2],
    /// Security parameters index; keepalived puts the sender's address here.
    pub spi: U32,
    /// Sequence number: each packet of a sender has a higher one.
    pub sequence: U32,
    /// The first 96 bits of the HMAC.
    pub icv: [u8; ICV_LEN],
}

/// A received packet with an authentication header, to be verified with a key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signed<'a> {
    /// Its sequence number.
    pub sequence: u32,
    /// The whole IPv4 packet, as long as its header says.
    packet: &'a [u8],
    /// Where the authentication header begins in it.
    header_at: usize,
}

const ICV_LEN: usize = 12;
/// The bytes of an IPv4 header that change on the way and don't count (RFC 2402 section 3.3.3.1.1):
/// type of service, flags and fragment offset, checksum.
const MUTABLE: [usize; 5] = [1, 6, 7, 10, 11];
const TTL: usize = 8;

/// Whether the time to live counts. RFC 2402 leaves it out; keepalived signs that of multicast
/// packets, which does no harm where it never changes. We sign as keepalived does, and accept both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ttl {
    /// To the multicast group.
    Signed,
    /// To a unicast peer, who may be behind routers.
    LeftOut,
}

impl Authentication {
    /// The type that v2's header gives.
    pub const fn kind(self) -> u8 {
        match self {
            Authentication::None => 0,
            Authentication::Password(_) => 1,
            Authentication::Header(_) => 2,
        }
    }

    /// The authentication data of v2's message: the password, or zeros.
    pub const fn data(self) -> [u8; 8] {
        match self {
            Authentication::Password(Secret(password)) => password,
            Authentication::None | Authentication::Header(_) => [0; 8],
        }
    }

    /// Bytes between the IP header and the message.
    pub(super) const fn header_len(self) -> usize {
        match self {
            Authentication::Header(_) => AuthenticationHeader::LEN,
            Authentication::None | Authentication::Password(_) => 0,
        }
    }
}

impl Secret {
    /// The first eight bytes of `word`, with zeros behind a shorter one.
    pub fn new(word: &[u8]) -> Self {
        let mut secret = [0; 8];
        for (byte, given) in secret.iter_mut().zip(word) {
            *byte = *given;
        }
        Secret(secret)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl AuthenticationHeader {
    /// Its length in bytes.
    pub const LEN: usize = size_of::<Self>();

    /// A header before a VRRP message, to be signed.
    pub(super) fn new(spi: u32) -> Self {
        AuthenticationHeader {
            next_header: PROTOCOL_VRRP,
            payload_len: (Self::LEN / 4 - 2) as u8,
            reserved: [0; 2],
            spi: U32::new(spi),
            sequence: U32::ZERO,
            icv: [0; ICV_LEN],
        }
    }
}

impl<'a> Signed<'a> {
    /// Takes the header apart that begins `header_at` in an IPv4 `packet`: it and what it protects.
    /// `None` if it is cut off, of another length than HMAC-MD5-96 gives it, or protects no VRRP.
    pub(super) fn parse(packet: &'a [u8], header_at: usize) -> Option<(Self, &'a [u8])> {
        let (header, message) =
            AuthenticationHeader::ref_from_prefix(packet.get(header_at..)?).ok()?;
        let ours = header.next_header == PROTOCOL_VRRP
            && usize::from(header.payload_len) == AuthenticationHeader::LEN / 4 - 2;
        let signed = Signed { sequence: header.sequence.get(), packet, header_at };
        ours.then_some((signed, message))
    }

    /// Whether whoever sent it knows `key`, and it is as it was sent.
    pub fn is_by(&self, key: Secret) -> bool {
        let icv_end = self.header_at + AuthenticationHeader::LEN;
        let Some(icv) = self.packet.get(icv_end - ICV_LEN..icv_end) else { return false };
        [Ttl::Signed, Ttl::LeftOut].into_iter().any(|ttl| {
            digest(self.packet, self.header_at, key, ttl)
                .is_some_and(|digest| digest.verify_truncated_left(icv).is_ok())
        })
    }
}

impl fmt::Debug for Signed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signed {{ sequence: {} }}", self.sequence)
    }
}

/// Gives an IPv4 `packet` of our own, whose authentication header follows a header without options,
/// its sequence number and signature.
pub(super) fn sign(packet: &mut [u8], sequence: u32, key: Secret, ttl: Ttl) {
    let header_at = Ipv4Header::LEN;
    let icv_at = header_at + AuthenticationHeader::LEN - ICV_LEN;
    if let Some(place) = packet.get_mut(icv_at - 4..icv_at) {
        place.copy_from_slice(&sequence.to_be_bytes());
    }
    let Some(digest) = digest(packet, header_at, key, ttl) else { return };
    let digest = digest.finalize().into_bytes();
    if let Some(place) = packet.get_mut(icv_at..icv_at + ICV_LEN) {
        place.copy_from_slice(&digest[..ICV_LEN]);
    }
}

/// The HMAC over a packet, with zeros for what may change on the way and for the signature itself.
fn digest(packet: &[u8], header_at: usize, key: Secret, ttl: Ttl) -> Option<Hmac<Md5>> {
    let (ip, rest) = packet.split_at_checked(header_at)?;
    let (header, message) = rest.split_at_checked(AuthenticationHeader::LEN)?;
    let (fixed, options) = ip.split_at_checked(Ipv4Header::LEN)?;
    let mut still = [0; Ipv4Header::LEN];
    still.copy_from_slice(fixed);
    for at in MUTABLE {
        still[at] = 0;
    }
    if ttl == Ttl::LeftOut {
        still[TTL] = 0;
    }
    let mut digest = Hmac::<Md5>::new_from_slice(&key.0).ok()?;
    digest.update(&still);
    digest.update(options);
    digest.update(&header[..AuthenticationHeader::LEN - ICV_LEN]);
    digest.update(&[0; ICV_LEN]);
    digest.update(message);
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 2202 section 2, test case 2, through the same library calls.
    #[test]
    fn the_library_makes_the_hmac_md5_of_rfc2202() {
        let mut digest = Hmac::<Md5>::new_from_slice(b"Jefe").unwrap();
        digest.update(b"what do ya want for nothing?");
        assert_eq!(
            digest.finalize().into_bytes()[..],
            0x750c_783e_6ab0_b503_eaa8_6e31_0a5d_b738_u128.to_be_bytes()
        );
    }

    #[test]
    fn a_secret_has_eight_bytes_and_is_not_shown() {
        assert_eq!(Secret::new(b"12345678"), Secret::new(b"123456789"));
        assert_ne!(Secret::new(b"1234567"), Secret::new(b"12345678"));
        assert_eq!(
            format!("{:?}", Authentication::Password(Secret::new(b"x"))),
            "Password(Secret(..))"
        );
    }

    fn packet() -> Vec<u8> {
        let source = std::net::Ipv4Addr::new(10, 0, 0, 1);
        let mut packet = vec![0x45, 0xc0, 0, 64, 0, 1, 0x40, 0, 255, 51, 0xab, 0xcd];
        packet.extend(source.octets());
        packet.extend([224, 0, 0, 18]);
        packet.extend(AuthenticationHeader::new(source.to_bits()).as_bytes());
        packet.extend([7; 20]);
        sign(&mut packet, 77, Secret::new(b"key"), Ttl::Signed);
        packet
    }

    #[test]
    fn what_is_signed_is_verified_by_the_same_key_only() {
        let bytes = packet();
        let (signed, message) = Signed::parse(&bytes, 20).unwrap();
        assert_eq!((signed.sequence, message), (77, &[7; 20][..]));
        assert!(signed.is_by(Secret::new(b"key")));
        assert!(!signed.is_by(Secret::new(b"kez")));
    }

    #[test]
    fn what_routers_change_does_not_count() {
        for at in MUTABLE {
            let mut bytes = packet();
            bytes[at] ^= 0xff;
            assert!(Signed::parse(&bytes, 20).unwrap().0.is_by(Secret::new(b"key")), "byte {at}");
        }
    }

    /// A packet of keepalived 2.2.7, and the same signed as RFC 2402 has it.
    #[test]
    fn keepalived_and_rfc2402_are_both_understood() {
        #[rustfmt::skip]
        let mut bytes = [
            0x45, 0xc0, 0x00, 0x40, 0x00, 0x01, 0x00, 0x00, 0xff, 0x33, 0xd0, 0xac,
            10, 9, 0, 2,  224, 0, 0, 18,
            0x70, 0x04, 0x00, 0x00, 0x0a, 0x09, 0x00, 0x02, 0x00, 0x00, 0x00, 0x01,
            0xd2, 0xcc, 0x1f, 0xf3, 0xc8, 0x2a, 0x50, 0x7e, 0x6a, 0x67, 0xa9, 0x1b,
            0x21, 51, 100, 1, 2, 1, 0x6e, 0x8f,  10, 9, 0, 50,  0, 0, 0, 0, 0, 0, 0, 0,
        ];
        let key = Secret::new(b"secret12");
        assert!(Signed::parse(&bytes, 20).unwrap().0.is_by(key));
        let digest = digest(&bytes, 20, key, Ttl::LeftOut).unwrap().finalize().into_bytes();
        bytes[32..44].copy_from_slice(&digest[..12]);
        assert!(Signed::parse(&bytes, 20).unwrap().0.is_by(key));
        bytes[TTL] = 7;
        assert!(Signed::parse(&bytes, 20).unwrap().0.is_by(key), "it does not count there");
    }

    proptest! {
        #[test]
        fn any_other_change_is_noticed(at in 0..64usize, bit in 0..8u32) {
            let mut bytes = packet();
            bytes[at] ^= 1 << bit;
            let by = Signed::parse(&bytes, 20).is_some_and(|(signed, _)| signed.is_by(Secret::new(b"key")));
            prop_assert_eq!(by, MUTABLE.contains(&at));
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..80), at in 0..90usize) {
            if let Some((signed, _)) = Signed::parse(&bytes, at) {
                let _ = signed.is_by(Secret::default());
            }
        }
    }
}
