//! Whether another library verifies faster than aws-lc-rs, and as strictly. `-- --test` runs all of it once; `strictness`,
//! `speed` and `threads` name its parts.

mod edges;
mod keys;
mod libraries;
mod measure;
mod speed;
mod strictness;
mod threads;
mod wycheproof_cases;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let only_test = arguments.iter().any(|argument| argument == "--test");
    let named = |part: &str| arguments.iter().any(|argument| argument == part);
    let wanted = |part| named(part) || !["strictness", "speed", "threads"].into_iter().any(named);
    if wanted("strictness") {
        strictness::show();
    }
    if wanted("speed") {
        speed::show(if only_test { 1 } else { 401 });
    }
    if wanted("threads") {
        threads::show(if only_test { 1 } else { 1_501 });
    }
}
