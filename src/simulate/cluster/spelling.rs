//! Turns counters and hashes into uids' digits and the endings of names.
//! It must not keep any state; the store counts.
//! The same run spells the same names, so that a failed test can be read again.

/// The letters that Kubernetes uses for name suffixes and hashes.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Spells a number as the suffix of a name.
pub(super) fn spell(mut number: u64, letters: usize) -> String {
    let count = LETTERS.len() as u64;
    (0..letters)
        .map(|_| {
            let index = usize::try_from(number % count).unwrap_or_default();
            number /= count;
            LETTERS.get(index).copied().map_or('b', char::from)
        })
        .collect()
}

/// Spells a hash as Kubernetes does: 32 bits as decimal digits, each as the letter of its byte.
pub(super) fn spell_hash(hash: u64) -> String {
    let digits = (hash & u64::from(u32::MAX)).to_string();
    digits
        .bytes()
        .map(|byte| {
            LETTERS
                .get(usize::from(byte) % LETTERS.len())
                .copied()
                .map_or('b', char::from)
        })
        .collect()
}

/// Spreads a counter over all 64 bits.
pub(super) fn scatter(number: u64) -> u64 {
    let mut mixed = number
        .wrapping_add(0x9e37_79b9_7f4a_7c15)
        .wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
