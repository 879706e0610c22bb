//! No name twice in one object.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::NotStrictJson;

/// So many names are compared one by one where the mask cannot tell; more are sorted, so that a document of nothing but names
/// stays cheap.
const FEW: usize = 32;

/// The names of the objects that are open, the innermost object's last.
pub(super) struct Names<'a> {
    plain: SmallVec<[&'a [u8]; 24]>,
    /// Those that were written with escapes, as they read.
    decoded: Vec<Vec<u8>>,
}

/// One object that is open: where its names begin, and which it may have had so far. The mask can be wrong in one direction
/// only, so that most names need not be compared with any other.
pub(super) struct Open {
    plain: usize,
    decoded: usize,
    mask: u64,
}

impl<'a> Names<'a> {
    pub(super) fn none() -> Self {
        Self { plain: SmallVec::new(), decoded: Vec::new() }
    }

    /// An object begins.
    #[inline(always)]
    pub(super) fn open(&self) -> Open {
        Open { plain: self.plain.len(), decoded: self.decoded.len(), mask: 0 }
    }

    /// A name of the innermost object.
    #[inline(always)]
    pub(super) fn add(&mut self, open: &mut Open, name: Cow<'a, [u8]>) -> Result<(), NotStrictJson> {
        let bit = bit(&name);
        let may_repeat = open.mask & bit != 0;
        open.mask |= bit;
        if may_repeat && self.holds(open, &name) {
            return Err(NotStrictJson);
        }
        match name {
            Cow::Borrowed(name) => self.plain.push(name),
            Cow::Owned(name) => self.decoded.push(name),
        }
        Ok(())
    }

    /// The innermost object ends.
    #[inline(always)]
    pub(super) fn close(&mut self, open: &Open) -> Result<(), NotStrictJson> {
        if self.count(open) > FEW && !self.differ(open) {
            return Err(NotStrictJson);
        }
        self.plain.truncate(open.plain);
        self.decoded.truncate(open.decoded);
        Ok(())
    }

    #[inline(always)]
    fn count(&self, open: &Open) -> usize {
        let plain = self.plain.len().wrapping_sub(open.plain);
        plain.wrapping_add(self.decoded.len().wrapping_sub(open.decoded))
    }

    fn holds(&self, open: &Open, name: &[u8]) -> bool {
        let plain = self.plain.get(open.plain..).unwrap_or_default();
        let decoded = self.decoded.get(open.decoded..).unwrap_or_default();
        let holds = || plain.contains(&name) || decoded.iter().any(|other| *other == name);
        self.count(open) <= FEW && holds()
    }

    fn differ(&mut self, open: &Open) -> bool {
        let plain = self.plain.get_mut(open.plain..).unwrap_or_default();
        let decoded = self.decoded.get_mut(open.decoded..).unwrap_or_default();
        plain.sort_unstable();
        decoded.sort_unstable();
        plain.is_sorted_by(|left, right| left < right)
            && decoded.is_sorted_by(|left, right| left < right)
            && !decoded.iter().any(|name| plain.binary_search(&&**name).is_ok())
    }
}

/// A number below 64 that tells most of the names of one object apart, and costs next to nothing.
fn bit(name: &[u8]) -> u64 {
    let first = name.first().copied().map_or(0, u32::from);
    let last = name.last().copied().map_or(0, u32::from);
    let length = u32::try_from(name.len() & 0xFF).unwrap_or(0);
    1_u64.wrapping_shl(first.wrapping_mul(4).wrapping_add(last.wrapping_mul(3)).wrapping_add(length.wrapping_mul(5)))
}
