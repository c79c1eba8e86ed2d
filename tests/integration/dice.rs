//! Numbers that look like chance and come from a seed, so that a red run can be played again.
//! It knows nothing of what they are used for.
//! A generator of fifteen lines, because a library's may give other numbers in its next version.

/// A generator of numbers.
pub(crate) struct Dice {
    /// What to set `PREVIEW_TEST_SEED` to, to have the same again.
    pub(crate) seed: u64,
    state: u64,
}

impl Dice {
    /// The dice of the seed in `PREVIEW_TEST_SEED`, else always the same.
    pub(crate) fn thrown() -> Self {
        let given = std::env::var("PREVIEW_TEST_SEED").ok();
        let seed = given.and_then(|text| text.parse().ok()).unwrap_or(42);
        Self { seed, state: seed }
    }

    /// The dice of one trial of many.
    pub(crate) fn of_trial(seed: u64, number: u64) -> Self {
        let state = seed.wrapping_mul(1_000_003).wrapping_add(number);
        Self { seed, state }
    }

    pub(crate) fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// A number below a limit, by SplitMix64.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        usize::try_from(z % limit.max(1) as u64).unwrap_or_default()
    }
}
