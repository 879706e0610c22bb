//! As much of Rust as it takes to see which paths a file names: words, attributes, `use` trees. Comments, strings and tests are gone.

/// One file of `src`.
pub(crate) struct Source {
    pub(crate) path: String,
    /// Where its items live, from the root of the crate.
    pub(crate) module: Vec<String>,
    pub(crate) tests: bool,
    words: Vec<Word>,
}

#[derive(Clone)]
struct Word {
    text: String,
    line: usize,
}

impl Source {
    /// A file by its path below `src`, and under which name others know it.
    pub(crate) fn read(path: &str, text: &str) -> (String, Self) {
        let name = path.strip_suffix(".rs").unwrap_or(path);
        let name = name.strip_suffix("/mod").unwrap_or(if name == "lib" { "" } else { name });
        let module: Vec<String> = name.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let words = words(text);
        let tests = module.iter().any(|part| part == "tests") || joined(&words).starts_with("# ! [ cfg ( test ) ]");
        (name.to_owned(), Self { path: path.to_owned(), module, tests, words: without_tests(&words) })
    }

    /// `lib.rs` and `mod.rs` list what others hold.
    pub(crate) fn is_folder(&self) -> bool {
        self.path == "lib.rs" || self.path.ends_with("/mod.rs")
    }

    pub(crate) fn code_lines(&self) -> usize {
        let mut lines: Vec<usize> = self.words.iter().map(|word| word.line).collect();
        lines.dedup();
        lines.len()
    }

    pub(crate) fn waits(&self) -> bool {
        self.words.iter().any(|word| word.text == "async" || word.text == "await")
    }

    /// The first word of an item that is neither an empty `mod` nor a `use`.
    pub(crate) fn more_than_a_list(&self) -> Option<&str> {
        let mut at = 0;
        while at < self.words.len() {
            at = match self.text(at) {
                "#" => self.after_brackets(at + if self.text(at + 1) == "!" { 2 } else { 1 }),
                "pub" if self.text(at + 1) == "(" => self.after_brackets(at + 1),
                "pub" => at + 1,
                "mod" if self.text(at + 2) == ";" => at + 3,
                "mod" if self.text(at + 2) == "{" && self.text(at + 3) == "}" => at + 4, // a page of the manual
                "use" => self.find(at, ";") + 1,
                other => return Some(other),
            };
        }
        None
    }

    /// Every path of two words or more, and every path of a `use`, `as` and `*` left out. In a module inside the file, `super`
    /// is kept as `self` where it means the file.
    pub(crate) fn paths(&self) -> impl Iterator<Item = Vec<String>> {
        let (mut paths, mut at, mut depth, mut inner) = (Vec::new(), 0, 0_usize, Vec::new());
        while at < self.words.len() {
            match self.text(at) {
                "{" => depth += 1,
                "}" => {
                    depth = depth.saturating_sub(1);
                    inner.retain(|opened| *opened < depth);
                }
                "mod" if self.text(at + 2) == "{" => inner.push(depth),
                "pub" if self.text(at + 1) == "(" => at = self.after_brackets(at + 1) - 1,
                "use" if self.text(at + 1) != "<" => {
                    at += 1;
                    self.tree(&mut at, &[], inner.len(), &mut paths);
                }
                word if is_name(word) && self.text(at + 1) == "::" && !self.goes_on(at) => {
                    let mut path = vec![word.to_owned()];
                    while self.text(at + 1) == "::" && is_name(self.text(at + 2)) {
                        at += 2;
                        path.push(self.text(at).to_owned());
                    }
                    paths.push(climbed(path, inner.len()));
                }
                _ => {}
            }
            at += 1;
        }
        paths.into_iter().filter(|path| !path.is_empty())
    }

    /// A path from the root of the crate, when `path` (as `paths` gave it) leads into the crate.
    pub(crate) fn absolute(&self, path: &[String]) -> Option<Vec<String>> {
        let own = self.module.as_slice();
        let supers = path.iter().take_while(|part| *part == "super").count();
        match path.first().map(String::as_str)? {
            "crate" => Some(path[1..].to_vec()),
            "self" => Some([own, &path[1..]].concat()),
            "super" => Some([&own[..own.len().saturating_sub(supers)], &path[supers..]].concat()),
            _ if self.is_folder() => Some([own, path].concat()),
            _ => None,
        }
    }

    /// Reads one `use` tree and stops at the word that ends it.
    fn tree(&self, at: &mut usize, before: &[String], inner: usize, paths: &mut Vec<Vec<String>>) {
        let mut path = before.to_vec();
        loop {
            match self.text(*at) {
                "::" => {}
                "{" => {
                    while *at < self.words.len() && self.text(*at) != "}" {
                        *at += 1;
                        if self.text(*at) != "}" {
                            self.tree(at, &path, inner, paths);
                        }
                    }
                    *at += 1;
                    return;
                }
                "as" => *at += 1,
                "self" if !path.is_empty() => {}
                word if is_name(word) => path.push(word.to_owned()),
                "*" => {}
                _ => break,
            }
            *at += 1;
        }
        paths.push(climbed(path, inner));
    }

    fn goes_on(&self, at: usize) -> bool {
        at >= 2 && self.text(at - 1) == "::" && (is_name(self.text(at - 2)) || self.text(at - 2) == ">")
    }

    fn text(&self, at: usize) -> &str {
        self.words.get(at).map_or("", |word| &word.text)
    }

    fn find(&self, from: usize, text: &str) -> usize {
        (from..self.words.len()).find(|at| self.text(*at) == text).unwrap_or(self.words.len())
    }

    fn after_brackets(&self, open: usize) -> usize {
        after_brackets(&self.words, open)
    }
}

/// `keys/store` as Rust writes it.
pub(crate) fn names(module: &str) -> String {
    if module.is_empty() { "crate".to_owned() } else { module.replace('/', "::") }
}

fn is_name(word: &str) -> bool {
    word.starts_with(|first: char| first.is_alphabetic() || first == '_') && word != "as"
}

/// `super` inside a module of the file means the file itself, or the other modules in it.
fn climbed(path: Vec<String>, inner: usize) -> Vec<String> {
    let supers = path.iter().take_while(|part| *part == "super").count();
    let own = ["self", "super"].contains(&path.first().map_or("", String::as_str));
    if inner == 0 || !own {
        return path;
    }
    if supers < inner {
        return Vec::new();
    }
    let rest = path.into_iter().skip(inner);
    if supers == inner { ["self".to_owned()].into_iter().chain(rest).collect() } else { rest.collect() }
}

fn after_brackets(words: &[Word], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, word) in words.iter().enumerate().skip(open) {
        match word.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    words.len()
}

fn joined(words: &[Word]) -> String {
    words.iter().take(16).map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
}

/// Leaves out each item under `#[cfg(test)]` or `#[cfg(all(test, ..))]`.
fn without_tests(words: &[Word]) -> Vec<Word> {
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < words.len() {
        let start = joined(&words[at..]);
        if !start.starts_with("# [ cfg ( test )") && !start.starts_with("# [ cfg ( all ( test ,") {
            kept.push(words[at].clone());
            at += 1;
            continue;
        }
        while words.get(at).is_some_and(|word| word.text == "#") {
            at = after_brackets(words, at + 1);
        }
        while at < words.len() {
            match words[at].text.as_str() {
                "(" | "[" => at = after_brackets(words, at),
                "{" => {
                    at = after_brackets(words, at);
                    break;
                }
                ";" => {
                    at += 1;
                    break;
                }
                _ => at += 1,
            }
        }
    }
    kept
}

/// Names, numbers, `::` and single signs; a string or a character is the word `""`.
fn words(text: &str) -> Vec<Word> {
    let chars: Vec<char> = text.chars().collect();
    let starts = |at: usize, sign: &str| sign.chars().enumerate().all(|(n, c)| chars.get(at + n) == Some(&c));
    let (mut words, mut at, mut line) = (Vec::new(), 0, 1);
    while at < chars.len() {
        let start = at;
        let word = |text: String| Word { text, line };
        if starts(at, "//") {
            at += chars[at..].iter().take_while(|c| **c != '\n').count();
        } else if starts(at, "/*") {
            let mut depth = 0_usize;
            loop {
                if starts(at, "/*") {
                    depth += 1
                } else if starts(at, "*/") {
                    depth -= 1
                }
                at += if starts(at, "/*") || starts(at, "*/") { 2 } else { 1 };
                if depth == 0 || at >= chars.len() {
                    break;
                }
            }
        } else if chars[at] == '"' || (chars[at] == '\'' && (starts(at + 1, "\\") || chars.get(at + 2) == Some(&'\'')))
        {
            words.push(word("\"\"".to_owned()));
            let quote = chars[at];
            at += 1;
            while at < chars.len() && chars[at] != quote {
                at += if chars[at] == '\\' { 2 } else { 1 };
            }
            at += 1;
        } else if chars[at].is_alphanumeric() || chars[at] == '_' {
            at += chars[at..].iter().take_while(|c| c.is_alphanumeric() || **c == '_').count();
            let name: String = chars[start..at].iter().collect();
            let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
            if ["r", "br", "cr"].contains(&name.as_str()) && starts(at + hashes, "\"") {
                let end = format!("\"{}", "#".repeat(hashes));
                at += hashes + 1;
                while at < chars.len() && !starts(at, &end) {
                    at += 1
                }
                at += end.len();
                words.push(word("\"\"".to_owned()));
            } else {
                words.push(word(name));
            }
        } else {
            at += if starts(at, "::") { 2 } else { 1 };
            if !chars[start].is_whitespace() && chars[start] != '\'' {
                words.push(word(chars[start..at].iter().collect()));
            }
        }
        line += chars[start..at.min(chars.len())].iter().filter(|c| **c == '\n').count();
    }
    words
}
