//! A recorder that keeps everything that it is told: what the tests read metrics with.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};

/// Everything that was told, by the name of the series: `name{label="value",..}` with labels in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(Arc<Mutex<Series>>);

#[derive(Debug, Default)]
struct Series {
    counters: BTreeMap<String, Arc<Count>>,
    gauges: BTreeMap<String, Arc<Level>>,
    histograms: BTreeMap<String, Arc<Values>>,
}

#[derive(Debug, Default)]
struct Count(AtomicU64);
#[derive(Debug, Default)]
struct Level(Mutex<f64>);
#[derive(Debug, Default)]
struct Values(Mutex<Vec<f64>>);

impl Kept {
    /// Every counter and gauge, and of each histogram how many values it has (`name_count{..}`).
    pub(crate) fn scrape(&self) -> BTreeMap<String, f64> {
        let series = locked(&self.0);
        let counters =
            series.counters.iter().map(|(name, count)| (name.clone(), float(count.0.load(Ordering::Relaxed))));
        let gauges = series.gauges.iter().map(|(name, level)| (name.clone(), *locked(&level.0)));
        let histograms = series.histograms.iter().map(|(name, values)| {
            let (stem, labels) = name.split_once('{').unwrap_or((name, "}"));
            (format!("{stem}_count{{{labels}"), float(u64::try_from(locked(&values.0).len()).unwrap_or(u64::MAX)))
        });
        counters.chain(gauges).chain(histograms).collect()
    }

    /// Takes the values of the histograms of this name out.
    pub(crate) fn take_values(&self, name: &str) -> Vec<f64> {
        let series = locked(&self.0);
        let of_name = series.histograms.iter().filter(|(key, _)| key.split('{').next() == Some(name));
        of_name.flat_map(|(_, values)| std::mem::take(&mut *locked(&values.0))).collect()
    }
}

impl Recorder for Kept {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::clone(locked(&self.0).counters.entry(written(key)).or_default()))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Arc::clone(locked(&self.0).gauges.entry(written(key)).or_default()))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::clone(locked(&self.0).histograms.entry(written(key)).or_default()))
    }
}

impl CounterFn for Count {
    fn increment(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.0.fetch_max(value, Ordering::Relaxed);
    }
}

impl GaugeFn for Level {
    fn increment(&self, by: f64) {
        *locked(&self.0) += by;
    }

    fn decrement(&self, by: f64) {
        *locked(&self.0) -= by;
    }

    fn set(&self, value: f64) {
        *locked(&self.0) = value;
    }
}

impl HistogramFn for Values {
    fn record(&self, value: f64) {
        locked(&self.0).push(value);
    }
}

fn written(key: &Key) -> String {
    let mut labels: Vec<_> = key.labels().map(|label| format!("{}={:?}", label.key(), label.value())).collect();
    labels.sort();
    format!("{}{{{}}}", key.name(), labels.join(","))
}

fn float(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
