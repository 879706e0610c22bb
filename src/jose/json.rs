//! JSON, read strictly and once (RFC 8259), without copying.
//!
//! `serde_json` cannot do what this module is for: it keeps the last of two equal names, it has no limit on members, and its
//! way of reading numbers changes when another crate of the program turns on one of its features. Here a document is UTF-8,
//! one object, with no name twice at any level, within limits on depth and size. Values are slices of the document; whoever
//! needs one reads on.

#[path = "json/escapes.rs"]
mod escapes;
#[path = "json/names.rs"]
mod names;
#[path = "json/scanner.rs"]
mod scanner;
#[path = "json/words.rs"]
mod words;

use std::borrow::Cow;

use scanner::Scanner;

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

/// A string, without its quotes: where it stands in the document, its escapes still in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'a> {
    document: &'a str,
    start: usize,
    end: usize,
    escaped: bool,
}

/// An array, from its first element on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Array<'a> {
    document: &'a str,
    start: usize,
    is_plain: bool,
}

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
    mut visit: impl FnMut(&str, Value<'a>),
) -> Result<(), NotStrictJson> {
    let text = std::str::from_utf8(document).map_err(|_| NotStrictJson)?;
    // What stands between two quotes of UTF-8 is UTF-8.
    object_of_text(text, limits, |name, value| visit(std::str::from_utf8(name).unwrap_or_default(), *value))
}

/// The same, for a document that is known to be UTF-8, with the octets of names: to tell known names apart takes no more.
#[inline]
pub(crate) fn object_of_text<'a>(
    text: &'a str,
    limits: Limits,
    mut visit: impl FnMut(&[u8], &Value<'a>),
) -> Result<(), NotStrictJson> {
    scanner::document(text, limits, &mut visit)
}

impl<'a> Text<'a> {
    /// The string itself.
    #[inline(always)]
    pub(crate) fn decoded(self) -> Cow<'a, str> {
        if self.escaped {
            let mut decoded = String::new();
            self.append_to(&mut decoded);
            return Cow::Owned(decoded);
        }
        Cow::Borrowed(self.raw())
    }

    /// Writes the string itself behind others.
    pub(crate) fn append_to(self, out: &mut String) {
        escapes::undo(self.raw(), out);
    }

    #[inline(always)]
    fn raw(self) -> &'a str {
        self.document.get(self.start..self.end).unwrap_or_default()
    }

    /// The octets of the string itself.
    fn octets(self) -> Cow<'a, [u8]> {
        match self.decoded() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        }
    }

    /// Where it stands in the document, if it stands there as it reads.
    #[inline]
    pub(crate) const fn place(self) -> Option<(usize, usize)> {
        if self.escaped { None } else { Some((self.start, self.end)) }
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.start == self.end
    }
}

impl<'a> Array<'a> {
    /// The elements in order.
    pub(crate) fn values(self) -> impl Iterator<Item = Value<'a>> {
        let mut at = self.start;
        std::iter::from_fn(move || {
            let element = if self.is_plain {
                Scanner::<true>::again(self.document).element(at)
            } else {
                Scanner::<false>::again(self.document).element(at)
            };
            let (value, after) = element.ok()?;
            at = after;
            Some(value)
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

#[cfg(test)]
use words::plain_length;

#[cfg(test)]
#[path = "json/tests.rs"]
mod tests;
