//! Builds metric families from values that are read at each scrape.

use azimuth_raft::Histogram;
use prometheus::proto::{Bucket, Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

/// Metric families by name; samples of one name with different labels are one family.
#[derive(Default)]
pub(super) struct Families {
    families: Vec<MetricFamily>,
    /// The labels of the samples that are added.
    labels: Vec<(&'static str, String)>,
}

impl Families {
    /// Gives the samples that are added from now on no label.
    pub(super) fn no_label(&mut self) {
        self.labels.clear();
    }

    /// Gives the samples that are added from now on this label alone.
    pub(super) fn label(&mut self, name: &'static str, value: &(impl ToString + ?Sized)) {
        self.labels = vec![(name, value.to_string())];
    }

    /// As [`label`](Self::label), beside the first label.
    pub(super) fn also_label(&mut self, name: &'static str, value: &(impl ToString + ?Sized)) {
        self.labels.truncate(1);
        self.labels.push((name, value.to_string()));
    }

    /// Adds a gauge.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: f64) {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        let mut metric = Metric::default();
        metric.set_gauge(gauge);
        self.add(name, help, MetricType::GAUGE, metric);
    }

    /// Adds a gauge of a number that is far below 2^53.
    pub(super) fn count(&mut self, name: &str, help: &str, value: u64) {
        self.gauge(name, help, value as f64);
    }

    /// Adds a counter since the start of the process.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: f64) {
        let mut counter = Counter::default();
        counter.set_value(value);
        let mut metric = Metric::default();
        metric.set_counter(counter);
        self.add(name, help, MetricType::COUNTER, metric);
    }

    /// Adds a histogram whose values and `bounds` are divided by `unit`.
    pub(super) fn histogram(&mut self, name: &str, help: &str, of: (&Histogram, &[u64; 14]), unit: f64) {
        let (values, bounds) = of;
        let mut cumulative = 0;
        let buckets = bounds.iter().zip(&values.counts).map(|(bound, count)| {
            cumulative += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound as f64 / unit);
            bucket.set_cumulative_count(cumulative);
            bucket
        });
        let mut histogram = prometheus::proto::Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(values.count());
        histogram.set_sample_sum(values.sum as f64 / unit);
        let mut metric = Metric::default();
        metric.set_histogram(histogram);
        self.add(name, help, MetricType::HISTOGRAM, metric);
    }

    /// The families.
    pub(super) fn finish(self) -> Vec<MetricFamily> {
        self.families
    }

    fn add(&mut self, name: &str, help: &str, kind: MetricType, mut metric: Metric) {
        let labels = self.labels.iter().map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value(value.clone());
            pair
        });
        metric.set_label(labels.collect());
        if let Some(family) = self.families.iter_mut().find(|family| family.name() == name) {
            family.mut_metric().push(metric);
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(vec![metric]);
        self.families.push(family);
    }
}
