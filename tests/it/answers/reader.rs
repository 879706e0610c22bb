//! Reads challenges by other code than the one that makes them.

/// A challenge as RFC 9110 s11.6.1 writes it, read by other code than the one that made it.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) scheme: String,
    pub(super) parameters: Vec<(String, String)>,
}

impl Parsed {
    pub(super) fn names(&self) -> Vec<&str> {
        self.parameters.iter().map(|(name, _)| name.as_str()).collect()
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str())
    }
}

/// One challenge, each parameter once, every value a quoted-string, a comma and a space between them and nowhere else.
pub(super) fn parse(field: &str) -> Option<Parsed> {
    let (scheme, mut rest) = field.split_once(' ')?;
    if !scheme.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return None;
    }
    let mut parameters: Vec<(String, String)> = Vec::new();
    loop {
        let (name, quoted) = rest.split_once("=\"")?;
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        if !is_name || parameters.iter().any(|(known, _)| known == name) {
            return None;
        }
        let mut text = String::new();
        let mut characters = quoted.chars();
        loop {
            match characters.next()? {
                '"' => break,
                '\\' => text.push(characters.next()?),
                character if (' '..='~').contains(&character) => text.push(character),
                _ => return None,
            }
        }
        parameters.push((name.to_owned(), text));
        match characters.as_str() {
            "" => return Some(Parsed { scheme: scheme.to_owned(), parameters }),
            more => rest = more.strip_prefix(", ")?,
        }
    }
}

#[test]
fn the_reader_of_challenges_refuses_what_is_not_one() {
    assert!(parse(r#"Bearer realm="a\"b\\", scope="c d""#).is_some());
    for bad in [
        "Bearer",
        "Bearer ",
        r#"Bearer, realm="a""#,
        r#"Bearer realm="a"#,
        r#"Bearer realm="a\"#,
        r#"Bearer realm="a","#,
        r#"Bearer realm="a" scope="b""#,
        r#"Bearer realm="a", realm="b""#,
        r#"Bearer realm="a", Basic realm="b""#,
        "Bearer realm=a",
    ] {
        assert!(parse(bad).is_none(), "{bad}");
    }
}
