//! The Internet checksum (RFC 1071), as a running sum that can be finished in several ways.

/// A one's complement sum in progress.
///
/// Sums of parts can be added in any order as long as every part but the last has an even length;
/// everything VRRP sums has a length that is a multiple of four.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum(u64);

impl Sum {
    /// The sum of nothing.
    pub const ZERO: Sum = Sum(0);

    /// This sum with `bytes` added, as big-endian 16-bit words; an odd last byte counts as the
    /// high half of a word.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Sum {
        let mut sum = self.0;
        let (words, rest) = bytes.as_chunks::<4>();
        for word in words {
            sum += u64::from(u32::from_be_bytes(*word));
        }
        let (halves, rest) = rest.as_chunks::<2>();
        for half in halves {
            sum += u64::from(u16::from_be_bytes(*half));
        }
        if let [last] = rest {
            sum += u64::from(*last) << 8;
        }
        Sum(sum)
    }

    /// This sum with one 16-bit word added.
    #[must_use]
    pub const fn word(self, word: u16) -> Sum {
        Sum(self.0 + word as u64)
    }

    /// This sum and another one together.
    #[must_use]
    pub const fn and(self, other: Sum) -> Sum {
        Sum(self.0 + other.0)
    }

    /// The sum folded to 16 bits. A block with a right checksum in it folds to `0xffff`.
    pub const fn fold(self) -> u16 {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    /// The checksum to put into a block whose checksum field was zero while summing.
    pub const fn checksum(self) -> u16 {
        !self.fold()
    }

    /// Whether a block that was summed with its checksum in place is intact.
    ///
    /// A sum of nothing but zeros folds to 0; such a block has a right checksum only in the
    /// arithmetic sense (0 and 0xffff are both zero), and no VRRP packet consists of zeros.
    pub const fn is_intact(self) -> bool {
        self.fold() == 0xffff
    }
}

/// The checksum after one 16-bit word under it changed (RFC 1624, equation 3).
pub const fn updated(checksum: u16, old: u16, new: u16) -> u16 {
    Sum::ZERO.word(!checksum).word(!old).word(new).checksum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rfc1071_example() {
        let sum = Sum::ZERO.bytes(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.fold(), 0xddf2);
        assert_eq!(sum.checksum(), !0xddf2);
    }

    #[test]
    fn odd_length_pads_on_the_right() {
        assert_eq!(Sum::ZERO.bytes(&[0x12]).fold(), 0x1200);
    }

    proptest! {
        #[test]
        fn a_block_with_its_checksum_is_intact(mut block in prop::collection::vec(any::<u8>(), 1..64)) {
            block.push(1);
            block.resize(block.len().next_multiple_of(2) + 2, 0);
            let at = block.len() - 2;
            let checksum = Sum::ZERO.bytes(&block).checksum();
            block[at..].copy_from_slice(&checksum.to_be_bytes());
            prop_assert!(Sum::ZERO.bytes(&block).is_intact());
        }

        #[test]
        fn updating_agrees_with_summing_again(mut block in prop::collection::vec(any::<u8>(), 8), new: u16) {
            block[0] |= 1; // keep the sum off the two forms of zero
            block[6] = 0;
            block[7] = 0;
            let before = Sum::ZERO.bytes(&block).checksum();
            let old = u16::from_be_bytes([block[2], block[3]]);
            block[2..4].copy_from_slice(&new.to_be_bytes());
            prop_assert_eq!(updated(before, old, new), Sum::ZERO.bytes(&block).checksum());
        }
    }
}
