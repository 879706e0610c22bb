//! Finds where the values of a document begin and end, and whether it is well formed.

use std::borrow::Cow;

use super::names::Names;
use super::words::{self, next_quote, next_quote_nearby, plain_length};
use super::{Array, Duplicates, Limits, NotStrictJson, Object, Text, Value, escapes};

/// What was read, and the place after it.
type Read<T> = Result<(T, usize), NotStrictJson>;

/// Places are handed from one function to the next, so that they stay in registers. None is beyond the end of a text by more than
/// one, so that none wraps.
///
/// In a `PLAIN` text no backslash and no control character is, so that each string ends at the next quote.
pub(super) struct Scanner<'a, const PLAIN: bool> {
    text: &'a str,
    members: usize,
    duplicates: Duplicates,
    names: Names<'a>,
}

const fn after(at: usize) -> usize {
    at.wrapping_add(1)
}

/// Reads a text, all of which is one object.
#[inline]
pub(super) fn document<'a>(
    text: &'a str,
    limits: Limits,
    visit: &mut impl FnMut(&[u8], &Value<'a>),
) -> Result<(), NotStrictJson> {
    if words::is_plain(text.as_bytes()) {
        Scanner::<true>::new(text, limits).document(limits.depth, visit)
    } else {
        // One copy of this for all who read documents is enough.
        let visit: &mut dyn FnMut(&[u8], &Value<'a>) = visit;
        Scanner::<false>::new(text, limits)
            .document(limits.depth, &mut |name: &[u8], value: &Value<'a>| visit(name, value))
    }
}

impl<'a, const PLAIN: bool> Scanner<'a, PLAIN> {
    fn new(text: &'a str, limits: Limits) -> Self {
        Self { text, members: limits.members, duplicates: limits.duplicates, names: Names::none() }
    }

    /// A scanner of text that has been through one already.
    pub(super) fn again(text: &'a str) -> Self {
        Self { text, members: usize::MAX, duplicates: Duplicates::LeftToTheReader, names: Names::none() }
    }

    #[inline]
    fn document(&mut self, depth: u8, visit: &mut impl FnMut(&[u8], &Value<'a>)) -> Result<(), NotStrictJson> {
        let (b'{', start) = self.next(0) else { return Err(NotStrictJson) };
        let end = self.object(after(start), depth, visit)?;
        let is_whole = end >= self.text.len() || self.next(end).1 >= self.text.len();
        if is_whole { Ok(()) } else { Err(NotStrictJson) }
    }

    /// The element of a well-formed array that begins at this place, before a comma or after it.
    pub(super) fn element(&mut self, at: usize) -> Read<Value<'a>> {
        let (first, start) = match self.next(at) {
            (b',', comma) => self.next(after(comma)),
            other => other,
        };
        self.value(first, start, u8::MAX)
    }

    /// The byte at this place. What no text has outside of strings stands for its end.
    #[inline(always)]
    fn byte(&self, at: usize) -> u8 {
        self.text.as_bytes().get(at).copied().unwrap_or(0)
    }

    /// The first byte that is not space, and its place.
    #[inline(always)]
    fn next(&self, at: usize) -> (u8, usize) {
        match self.byte(at) {
            0..=b' ' => self.next_after_space(at),
            byte => (byte, at),
        }
    }

    #[cold]
    #[inline(never)]
    fn next_after_space(&self, at: usize) -> (u8, usize) {
        let rest = self.text.as_bytes().get(at..).unwrap_or_default();
        let space = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).unwrap_or(rest.len());
        let at = at.wrapping_add(space);
        (self.byte(at), at)
    }

    #[inline(always)]
    fn since(&self, start: usize, end: usize) -> Result<&'a str, NotStrictJson> {
        self.text.get(start..end).ok_or(NotStrictJson)
    }

    #[inline(always)]
    fn value(&mut self, first: u8, start: usize, depth: u8) -> Read<Value<'a>> {
        // Most values are strings.
        if first == b'"' {
            let (text, end) = self.string(start)?;
            return Ok((Value::String(text), end));
        }
        self.other_value(first, start, depth)
    }

    fn other_value(&mut self, first: u8, start: usize, depth: u8) -> Read<Value<'a>> {
        match first {
            b'-' | b'0'..=b'9' => {
                let end = self.number(first, start)?;
                Ok((Value::Number(self.since(start, end)?), end))
            }
            b'[' => {
                let array = Array { document: self.text, start: after(start), is_plain: PLAIN };
                Ok((Value::Array(array), self.array(after(start), depth)?))
            }
            b'{' => {
                let end = self.object(after(start), depth, &mut |_, _| ())?;
                Ok((Value::Object(Object(self.since(start, end)?)), end))
            }
            b't' => self.word(start, "true", Value::Bool(true)),
            b'f' => self.word(start, "false", Value::Bool(false)),
            b'n' => self.word(start, "null", Value::Null),
            _ => Err(NotStrictJson),
        }
    }

    fn word(&self, start: usize, word: &str, value: Value<'a>) -> Read<Value<'a>> {
        let end = start.saturating_add(word.len());
        let holds = self.text.as_bytes().get(start..end) == Some(word.as_bytes());
        if holds { Ok((value, end)) } else { Err(NotStrictJson) }
    }

    /// What follows `{`.
    fn object(
        &mut self,
        start: usize,
        depth: u8,
        visit: &mut impl FnMut(&[u8], &Value<'a>),
    ) -> Result<usize, NotStrictJson> {
        let depth = depth.checked_sub(1).ok_or(NotStrictJson)?;
        let mut open = self.names.open();
        let (mut first, mut at) = self.next(start);
        if first == b'}' {
            return Ok(after(at));
        }
        loop {
            self.members = self.members.checked_sub(1).ok_or(NotStrictJson)?;
            if first != b'"' {
                return Err(NotStrictJson);
            }
            let (name, end) = self.name(at)?;
            let (b':', colon) = self.next(end) else { return Err(NotStrictJson) };
            (first, at) = self.next(after(colon));
            let end = if first == b'"' {
                let (text, end) = self.string(at)?;
                visit(&name, &Value::String(text));
                end
            } else {
                let (value, end) = self.other_value(first, at, depth)?;
                visit(&name, &value);
                end
            };
            if self.duplicates == Duplicates::Refused {
                self.names.add(&mut open, name)?;
            }
            (first, at) = self.next(end);
            match first {
                b',' => (first, at) = self.next(after(at)),
                b'}' => break,
                _ => return Err(NotStrictJson),
            }
        }
        self.names.close(&open)?;
        Ok(after(at))
    }

    /// What follows `[`.
    fn array(&mut self, start: usize, depth: u8) -> Result<usize, NotStrictJson> {
        let depth = depth.checked_sub(1).ok_or(NotStrictJson)?;
        let (mut first, mut at) = self.next(start);
        if first == b']' {
            return Ok(after(at));
        }
        loop {
            let (_, end) = self.value(first, at, depth)?;
            (first, at) = self.next(end);
            match first {
                b',' => (first, at) = self.next(after(at)),
                b']' => return Ok(after(at)),
                _ => return Err(NotStrictJson),
            }
        }
    }

    /// The name whose first quote stands at this place. Most names are short.
    #[inline(always)]
    fn name(&self, quote: usize) -> Read<Cow<'a, [u8]>> {
        let start = after(quote);
        let text = self.text.as_bytes();
        if PLAIN {
            let end = next_quote_nearby(text, start).ok_or(NotStrictJson)?;
            return Ok((Cow::Borrowed(text.get(start..end).ok_or(NotStrictJson)?), after(end)));
        }
        let (name, end) = self.string_of_any_kind(start)?;
        Ok((name.octets(), end))
    }

    /// The string whose first quote stands at this place.
    #[inline(always)]
    fn string(&self, quote: usize) -> Read<Text<'a>> {
        let start = after(quote);
        if PLAIN {
            let end = next_quote(self.text.as_bytes(), start).ok_or(NotStrictJson)?;
            return Ok((Text { document: self.text, start, end, escaped: false }, after(end)));
        }
        self.string_of_any_kind(start)
    }

    #[cold]
    fn string_of_any_kind(&self, start: usize) -> Read<Text<'a>> {
        let mut escaped = false;
        let mut at = start;
        loop {
            let rest = self.text.as_bytes().get(at..).ok_or(NotStrictJson)?;
            at = at.wrapping_add(plain_length(rest));
            match self.byte(at) {
                b'"' => return Ok((Text { document: self.text, start, end: at, escaped }, after(at))),
                b'\\' => {
                    escaped = true;
                    at = self.escape(after(at))?;
                }
                _ => return Err(NotStrictJson),
            }
        }
    }

    /// What follows a backslash. Half a surrogate pair is refused: it stands for no character (RFC 8259 s8.2).
    fn escape(&self, at: usize) -> Result<usize, NotStrictJson> {
        match self.byte(at) {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(after(at)),
            b'u' => match self.hex4(after(at))? {
                (0xD800..=0xDBFF, end) => match (self.byte(end), self.byte(after(end))) {
                    (b'\\', b'u') => match self.hex4(end.wrapping_add(2))? {
                        (0xDC00..=0xDFFF, end) => Ok(end),
                        _ => Err(NotStrictJson),
                    },
                    _ => Err(NotStrictJson),
                },
                (0xDC00..=0xDFFF, _) => Err(NotStrictJson),
                (_, end) => Ok(end),
            },
            _ => Err(NotStrictJson),
        }
    }

    fn hex4(&self, at: usize) -> Read<u32> {
        let digits = self.text.as_bytes().get(at..).and_then(<[u8]>::first_chunk);
        let value = digits.and_then(escapes::hex4).ok_or(NotStrictJson)?;
        Ok((value, at.wrapping_add(4)))
    }

    fn number(&self, first: u8, start: usize) -> Result<usize, NotStrictJson> {
        let whole = if first == b'-' { after(start) } else { start };
        let mut at = if self.byte(whole) == b'0' { after(whole) } else { self.digits(whole)? };
        if self.byte(at) == b'.' {
            at = self.digits(after(at))?;
        }
        let may_be_huge = matches!(self.byte(at), b'e' | b'E');
        if may_be_huge {
            let sign = after(at);
            at = self.digits(if matches!(self.byte(sign), b'+' | b'-') { after(sign) } else { sign })?;
        }
        // A number that no double can hold (RFC 8259 s6) could be accepted here and then not be read by the program.
        if may_be_huge || at.wrapping_sub(start) > 300 {
            let number = self.since(start, at)?;
            if !number.parse().is_ok_and(f64::is_finite) {
                return Err(NotStrictJson);
            }
        }
        Ok(at)
    }

    #[inline]
    fn digits(&self, start: usize) -> Result<usize, NotStrictJson> {
        let rest = self.text.as_bytes().get(start..).unwrap_or_default();
        match rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len()) {
            0 => Err(NotStrictJson),
            length => Ok(start.wrapping_add(length)),
        }
    }
}
