//! JSON, read strictly and once (RFC 8259), without copying.
//!
//! `serde_json` cannot do what this module is for: it keeps the last of two equal names, it has no limit on members, and its
//! way of reading numbers changes when another crate of the program turns on one of its features. Here a document is UTF-8,
//! one object, with no name twice at any level, within limits on depth and size. Values are slices of the document; whoever
//! needs one reads on.

use std::borrow::Cow;

use smallvec::SmallVec;

/// How large a document may be, beyond its length in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Levels of objects and arrays, the outermost included.
    pub(crate) depth: u8,
    /// Members of all objects together.
    pub(crate) members: usize,
    /// Whether a name that stands twice in one object spoils the document. Where it does not, the elements are read again
    /// one by one by a reader that minds.
    pub(crate) duplicates: Duplicates,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duplicates {
    Refused,
    LeftToTheReader,
}

/// The document is not JSON as this module reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotStrictJson;

/// One value of a document that is known to be well formed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Null,
    Bool(#[cfg_attr(not(feature = "driver"), expect(dead_code, reason = "answers alone are asked for it"))] bool),
    /// The number as it is written.
    Number(&'a str),
    String(Text<'a>),
    Array(Array<'a>),
    Object(Object<'a>),
}

/// A string, without its quotes, its escapes still in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'a> {
    raw: &'a str,
    escaped: bool,
}

/// An array, brackets included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Array<'a>(&'a str);

/// An object, braces included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Object<'a>(&'a str);

/// Reads a document that must be one object, and hands out its members in order.
///
/// The whole document is checked even where `visit` is not interested, but the check ends after the visits: what was visited
/// counts only if the result is `Ok`.
pub(crate) fn object<'a>(
    document: &'a [u8],
    limits: Limits,
    visit: impl FnMut(&str, Value<'a>),
) -> Result<(), NotStrictJson> {
    let text = std::str::from_utf8(document).map_err(|_| NotStrictJson)?;
    object_of_text(text, limits, visit)
}

/// The same, for a document that is known to be UTF-8.
pub(crate) fn object_of_text<'a>(
    text: &'a str,
    limits: Limits,
    mut visit: impl FnMut(&str, Value<'a>),
) -> Result<(), NotStrictJson> {
    let mut scanner = Scanner::new(text, limits);
    scanner.space();
    scanner.object(limits.depth, Some(&mut visit))?;
    scanner.space();
    if scanner.at == text.len() { Ok(()) } else { Err(NotStrictJson) }
}

impl<'a> Text<'a> {
    /// The string itself.
    #[inline]
    pub(crate) fn decoded(self) -> Cow<'a, str> {
        if self.escaped { Cow::Owned(unescape(self.raw)) } else { Cow::Borrowed(self.raw) }
    }
}

impl<'a> Array<'a> {
    /// The elements in order.
    pub(crate) fn values(self) -> impl Iterator<Item = Value<'a>> {
        let mut scanner = Scanner::again(self.0);
        scanner.at = 1;
        std::iter::from_fn(move || {
            scanner.separator();
            scanner.value(u8::MAX).ok()
        })
    }

    /// The elements, if each is a string.
    pub(crate) fn strings(self) -> Option<Vec<Cow<'a, str>>> {
        self.values()
            .map(|value| match value {
                Value::String(text) => Some(text.decoded()),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
            })
            .collect()
    }
}

impl<'a> Object<'a> {
    /// The object as a document of its own, to be read with other limits.
    pub(crate) fn as_bytes(self) -> &'a [u8] {
        self.0.as_bytes()
    }
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    members: usize,
    duplicates: Duplicates,
    /// No backslash and no control character is in the text, so that each string ends at the next quote.
    is_plain: bool,
    /// The names of the objects that are open, the innermost object's last.
    names: SmallVec<[Cow<'a, str>; 24]>,
}

/// Which names an object may have had so far: a mask that can be wrong in one direction only, so that most names need not be
/// compared with any other.
#[derive(Clone, Copy, Default)]
struct Seen(u64);

impl Seen {
    /// Whether a name like this one may have been there before.
    fn note(&mut self, name: &str) -> bool {
        let bytes = name.as_bytes();
        let first = bytes.first().copied().map_or(0, u64::from);
        let last = bytes.last().copied().map_or(0, u64::from);
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let mixed = first.wrapping_mul(31).wrapping_add(last.wrapping_mul(7)).wrapping_add(length.wrapping_mul(13));
        let bit = 1_u64.wrapping_shl(u32::try_from(mixed % 64).unwrap_or(0));
        let before = self.0 & bit != 0;
        self.0 |= bit;
        before
    }
}

/// So many names are compared one by one where the mask cannot tell; more are sorted, so that a document of nothing but names
/// stays cheap.
const FEW: usize = 32;

type Visit<'v, 'a> = &'v mut dyn FnMut(&str, Value<'a>);

impl<'a> Scanner<'a> {
    fn new(text: &'a str, limits: Limits) -> Self {
        let is_plain = text.bytes().fold(true, |all, byte| all & (byte >= 0x20) & (byte != b'\\'));
        Self { text, at: 0, members: limits.members, duplicates: limits.duplicates, is_plain, names: SmallVec::new() }
    }

    /// A scanner of text that has been through one already.
    const fn again(text: &'a str) -> Self {
        let (members, duplicates) = (usize::MAX, Duplicates::LeftToTheReader);
        Self { text, at: 0, members, duplicates, is_plain: false, names: SmallVec::new_const() }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    const fn step(&mut self) {
        // Never beyond the end of a text, so that nothing wraps; here and below.
        self.at = self.at.wrapping_add(1);
    }

    #[inline]
    fn take(&mut self, wanted: u8) -> Result<(), NotStrictJson> {
        if self.peek() == Some(wanted) {
            self.step();
            Ok(())
        } else {
            Err(NotStrictJson)
        }
    }

    #[inline]
    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.step();
        }
    }

    /// Space, and one `,` or `:`; in text that is known to be well formed.
    fn separator(&mut self) {
        self.space();
        if let Some(b',' | b':') = self.peek() {
            self.step();
        }
        self.space();
    }

    #[inline]
    fn since(&self, start: usize) -> Result<&'a str, NotStrictJson> {
        self.text.get(start..self.at).ok_or(NotStrictJson)
    }

    #[inline(always)]
    fn value(&mut self, depth: u8) -> Result<Value<'a>, NotStrictJson> {
        // Most values are strings.
        if self.peek() == Some(b'"') { self.string().map(Value::String) } else { self.other_value(depth) }
    }

    fn other_value(&mut self, depth: u8) -> Result<Value<'a>, NotStrictJson> {
        let start = self.at;
        match self.peek() {
            Some(b'{') => {
                self.object(depth, None)?;
                self.since(start).map(|text| Value::Object(Object(text)))
            }
            Some(b'[') => {
                self.array(depth)?;
                self.since(start).map(|text| Value::Array(Array(text)))
            }
            Some(b'-' | b'0'..=b'9') => {
                self.number()?;
                self.since(start).map(Value::Number)
            }
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            Some(_) | None => Err(NotStrictJson),
        }
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, NotStrictJson> {
        let end = self.at.saturating_add(word.len());
        if self.text.as_bytes().get(self.at..end) == Some(word.as_bytes()) {
            self.at = end;
            Ok(value)
        } else {
            Err(NotStrictJson)
        }
    }

    fn object(&mut self, depth: u8, mut visit: Option<Visit<'_, 'a>>) -> Result<(), NotStrictJson> {
        let depth = depth.checked_sub(1).ok_or(NotStrictJson)?;
        let outer = self.names.len();
        let mut seen = Seen::default();
        self.take(b'{')?;
        self.space();
        if self.peek() == Some(b'}') {
            self.step();
            return Ok(());
        }
        loop {
            self.members = self.members.checked_sub(1).ok_or(NotStrictJson)?;
            let name = self.string()?.decoded();
            self.space();
            self.take(b':')?;
            self.space();
            let value = self.value(depth)?;
            if let Some(visit) = &mut visit {
                visit(&name, value);
            }
            if self.duplicates == Duplicates::Refused {
                let before = self.names.get(outer..).unwrap_or_default();
                if seen.note(&name) && before.len() <= FEW && before.contains(&name) {
                    return Err(NotStrictJson);
                }
                self.names.push(name);
            }
            self.space();
            if self.peek() == Some(b'}') {
                self.step();
                break;
            }
            self.take(b',')?;
            self.space();
        }
        let names = self.names.get_mut(outer..).unwrap_or_default();
        if names.len() > FEW {
            names.sort_unstable();
            if !names.is_sorted_by(|left, right| left < right) {
                return Err(NotStrictJson);
            }
        }
        self.names.truncate(outer);
        Ok(())
    }

    fn array(&mut self, depth: u8) -> Result<(), NotStrictJson> {
        let depth = depth.checked_sub(1).ok_or(NotStrictJson)?;
        self.take(b'[')?;
        self.space();
        if self.peek() == Some(b']') {
            self.step();
            return Ok(());
        }
        loop {
            self.value(depth)?;
            self.space();
            if self.peek() == Some(b']') {
                self.step();
                return Ok(());
            }
            self.take(b',')?;
            self.space();
        }
    }

    #[inline(always)]
    fn string(&mut self) -> Result<Text<'a>, NotStrictJson> {
        self.take(b'"')?;
        let start = self.at;
        if !self.is_plain {
            return self.string_of_any_kind(start);
        }
        let rest = self.text.as_bytes().get(start..).unwrap_or_default();
        self.at = start.wrapping_add(length_to_quote(rest));
        let raw = self.since(start)?;
        self.take(b'"')?;
        Ok(Text { raw, escaped: false })
    }

    #[cold]
    fn string_of_any_kind(&mut self, start: usize) -> Result<Text<'a>, NotStrictJson> {
        let mut escaped = false;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            self.at = self.at.saturating_add(plain_length(rest));
            match self.peek() {
                Some(b'"') => {
                    let raw = self.since(start)?;
                    self.step();
                    return Ok(Text { raw, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.step();
                    self.escape()?;
                }
                Some(_) | None => return Err(NotStrictJson),
            }
        }
    }

    /// What follows a backslash. Half a surrogate pair is refused: it stands for no character (RFC 8259 s8.2).
    fn escape(&mut self) -> Result<(), NotStrictJson> {
        let kind = self.peek();
        self.step();
        match kind {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(()),
            Some(b'u') => match self.hex4()? {
                0xD800..=0xDBFF => {
                    self.take(b'\\')?;
                    self.take(b'u')?;
                    if matches!(self.hex4()?, 0xDC00..=0xDFFF) { Ok(()) } else { Err(NotStrictJson) }
                }
                0xDC00..=0xDFFF => Err(NotStrictJson),
                _ => Ok(()),
            },
            Some(_) | None => Err(NotStrictJson),
        }
    }

    fn hex4(&mut self) -> Result<u32, NotStrictJson> {
        let start = self.at;
        self.at = self.at.saturating_add(4);
        hex4(self.since(start)?).ok_or(NotStrictJson)
    }

    fn number(&mut self) -> Result<(), NotStrictJson> {
        let start = self.at;
        let mut may_be_huge = false;
        if self.peek() == Some(b'-') {
            self.step();
        }
        match self.peek() {
            Some(b'0') => self.step(),
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.step();
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            may_be_huge = true;
            self.step();
            if let Some(b'+' | b'-') = self.peek() {
                self.step();
            }
            self.digits()?;
        }
        // A number that no double can hold (RFC 8259 s6) could be accepted here and then not be read by the program.
        let number = self.since(start)?;
        let is_huge = (may_be_huge || number.len() > 300) && !number.parse().is_ok_and(f64::is_finite);
        if is_huge { Err(NotStrictJson) } else { Ok(()) }
    }

    fn digits(&mut self) -> Result<(), NotStrictJson> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.step();
        }
        if self.at > start { Ok(()) } else { Err(NotStrictJson) }
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Marks, by the high bit of a byte, which bytes are zero. A borrow can mark a byte for nothing, but only above one that is rightly
/// marked, so that the lowest mark is always right.
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHS
}

/// How many bytes stand before the lowest mark.
fn before_mark(marks: u64) -> usize {
    usize::try_from(marks.trailing_zeros() / 8).unwrap_or(0)
}

/// How many bytes stand before the first quote.
#[inline(always)]
fn length_to_quote(text: &[u8]) -> usize {
    let mut rest = text;
    while let Some((chunk, after)) = rest.split_first_chunk::<8>() {
        let marks = zeros(u64::from_le_bytes(*chunk) ^ ONES.wrapping_mul(0x22));
        if marks != 0 {
            return text.len().wrapping_sub(rest.len()).wrapping_add(before_mark(marks));
        }
        rest = after;
    }
    let last = rest.iter().position(|byte| *byte == b'"').unwrap_or(rest.len());
    text.len().wrapping_sub(rest.len()).wrapping_add(last)
}

/// How many bytes at the beginning need no look of their own: they are neither quote, backslash nor control.
fn plain_length(text: &[u8]) -> usize {
    let mut length: usize = 0;
    let mut rest = text;
    while let Some((chunk, after)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let quote = zeros(word ^ ONES.wrapping_mul(0x22));
        let backslash = zeros(word ^ ONES.wrapping_mul(0x5C));
        let control = word.wrapping_sub(ONES.wrapping_mul(0x20)) & !word & HIGHS;
        let marks = quote | backslash | control;
        if marks != 0 {
            return length.saturating_add(before_mark(marks));
        }
        length = length.saturating_add(8);
        rest = after;
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1F);
    length.saturating_add(rest.iter().position(special).unwrap_or(rest.len()))
}

fn hex4(digits: &str) -> Option<u32> {
    let all_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if all_hex { u32::from_str_radix(digits, 16).ok() } else { None }
}

/// Undoes the escapes of text whose escapes have been checked.
fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((plain, after)) = rest.split_once('\\') {
        out.push_str(plain);
        let mut characters = after.chars();
        let kind = characters.next().unwrap_or('\\');
        rest = characters.as_str();
        out.push(match kind {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let (character, after) = unescape_unicode(rest);
                rest = after;
                character
            }
            itself => itself,
        });
    }
    out.push_str(rest);
    out
}

/// The character after `\u`, and what follows it.
fn unescape_unicode(digits: &str) -> (char, &str) {
    let unit = |text: &str, at: usize| text.get(at..at.saturating_add(4)).and_then(hex4);
    let Some(first) = unit(digits, 0) else { return (char::REPLACEMENT_CHARACTER, "") };
    if let Some(character) = char::from_u32(first) {
        return (character, digits.get(4..).unwrap_or_default());
    }
    // A high surrogate, `\u`, and a low one.
    let second = unit(digits, 6).unwrap_or_default();
    let code = 0x1_0000_u32.wrapping_add((first & 0x3FF) << 10).wrapping_add(second & 0x3FF);
    (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), digits.get(10..).unwrap_or_default())
}

#[cfg(test)]
#[path = "json/tests.rs"]
mod tests;
