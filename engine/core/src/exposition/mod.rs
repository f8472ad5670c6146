//! Pages: parsing them, and comparing each with the target's previous page.
//!
//! Most lines of a page repeat from scrape to scrape, so a page is compared with a template of the previous one and
//! only what differs is parsed.
//!
//! * `stage`: [`Stage`], what is remembered of a target between two pages; `staged`: [`Staged`], a parsed page that the writer
//!   can commit; `added`: what can be done for a large one beforehand; `placement`: where its samples go.
//! * `format`, `page_text`: what a page may be written in, and its text.
//! * `template`: the previous page, front-coded.
//! * `page`: the comparison, which yields changed values, new lines and removed series.
//! * `any_line`, `line`, `openmetrics_line`, `number`: the full parser, for lines that the template does not contain; `dialect`: what
//!   differs between the kinds of text.
//! * `protobuf`: pages in protobuf; `decoded`: how they are written as text; `custom_buckets`: classic histograms as native
//!   ones, `classic_text`: those of text pages.
//! * `mapper`: from the labels on a page to the labels of a series.
//! * `openmetrics`: the strict check of a page against OpenMetrics 1.0.
//! * `retain_filter`, `skip_run`: which lines are skipped unparsed when a target keeps only what signals need;
//!   `line_lengths`: where they end.

mod added;
mod any_line;
mod classic_text;
mod custom_buckets;
mod decoded;
mod dialect;
mod format;
mod line;
mod line_lengths;
mod mapper;
mod number;
mod openmetrics;
mod openmetrics_line;
mod page;
mod page_text;
mod placement;
mod protobuf;
mod retain_filter;
mod skip_run;
mod stage;
mod staged;
mod template;

pub(crate) use added::{Added, AddedSample};
pub(crate) use mapper::Mapper;
pub(crate) use page::{Change, ExemplarOf, ExplicitSample, HistogramSample};
pub(crate) use placement::Placement;
pub(crate) use staged::NewSample;

pub use crate::metadata::{FamilyMetadata, FamilyType};
pub use format::Format;
pub use openmetrics::check as check_openmetrics;
pub use page::PageError;
pub use stage::Stage;
pub use staged::Staged;
