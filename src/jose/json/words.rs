//! Many bytes at a time, without leaving safe Rust: how far a text goes on before something in it counts.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;
const QUOTES: u64 = ONES.wrapping_mul(0x22);
const BACKSLASHES: u64 = ONES.wrapping_mul(0x5C);
const SPACES: u64 = ONES.wrapping_mul(0x20);

/// Whether strings of this text can be taken as they stand and end at the next quote: no backslash and no control character is
/// anywhere in it.
pub(super) fn is_plain(text: &[u8]) -> bool {
    let Some(last) = text.last_chunk::<32>() else { return are_plain(text) };
    // Whole chunks alone, and the last of them again with what follows it: there is nothing to be looked at byte by byte.
    are_plain(text.as_chunks::<32>().0.as_flattened()) && are_plain(last)
}

#[inline(always)]
fn are_plain(bytes: &[u8]) -> bool {
    let look = |(least, slash): (u8, bool), byte: &u8| (least.min(*byte), slash | (*byte == b'\\'));
    let (least, slash) = bytes.iter().fold((u8::MAX, false), look);
    least >= 0x20 && !slash
}

/// Where the first quote from `start` on stands.
#[inline(always)]
pub(super) fn next_quote(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    // The compiler asks sixteen bytes at once whether one is a quote, and has no such means to tell which.
    while let Some(chunk) = text.get(at..)?.first_chunk::<16>() {
        if chunk.iter().fold(false, |found, byte| found | (*byte == b'"')) {
            break;
        }
        at = at.wrapping_add(16);
    }
    next_quote_nearby(text, at)
}

/// The same, quicker where it is not far.
#[inline(always)]
pub(super) fn next_quote_nearby(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    while let Some(chunk) = text.get(at..)?.first_chunk::<8>() {
        let marks = zeros(u64::from_le_bytes(*chunk) ^ QUOTES);
        if marks != 0 {
            return Some(at.wrapping_add(before_mark(marks)));
        }
        at = at.wrapping_add(8);
    }
    let last = text.get(at..)?.iter().position(|byte| *byte == b'"')?;
    Some(at.wrapping_add(last))
}

/// How many bytes at the beginning need no look of their own: they are neither quote, backslash nor control.
pub(super) fn plain_length(text: &[u8]) -> usize {
    let mut length: usize = 0;
    let mut rest = text;
    while let Some((chunk, after)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let control = word.wrapping_sub(SPACES) & !word & HIGHS;
        let marks = zeros(word ^ QUOTES) | zeros(word ^ BACKSLASHES) | control;
        if marks != 0 {
            return length.wrapping_add(before_mark(marks));
        }
        length = length.wrapping_add(8);
        rest = after;
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1F);
    length.wrapping_add(rest.iter().position(special).unwrap_or(rest.len()))
}

/// Marks, by the high bit of a byte, which bytes are zero. A borrow can mark a byte for nothing, but only above one that is rightly
/// marked, so that the lowest mark is always right.
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHS
}

/// How many bytes stand before the lowest mark.
fn before_mark(marks: u64) -> usize {
    usize::try_from(marks.trailing_zeros() / 8).unwrap_or(0)
}
