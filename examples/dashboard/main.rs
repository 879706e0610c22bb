//! A dashboard.
mod recorder;
fn main() {
    let kept = recorder::Kept::default();
    kept.scrape();
    kept.take_values("");
}
