//! [`Printed`]: lines of the log on their way to the screen, in the form that was asked for.

mod cells;
mod csv;
mod table;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::audit::read::Row;
use crate::cli::terminal::screen::{Output, Screen, escape_json};
use cells::cells;
pub(super) use cells::{evidence, tone, verdict, words_of};
use table::Table;

/// Bytes that are gathered before they are written, where nobody watches them come.
const PAGE: usize = 64 << 10;

/// Lines on their way.
pub(super) struct Printed {
    form: Output,
    table: Table,
    zone: TimeZone,
    page: String,
    is_watched: bool,
    has_header: bool,
    /// Nobody reads on.
    is_over: bool,
}

impl Printed {
    /// In this form; times are shown in this zone, as it is called now.
    pub(super) fn new(form: Output, zone: TimeZone, now: Timestamp, screen: &Screen) -> Self {
        let name = zone.to_offset_info(now).abbreviation().to_owned();
        let width = screen.width();
        let (page, is_watched) = (String::new(), width.is_some());
        let table = Table::new(width, name);
        Self { form, table, zone, page, is_watched, has_header: false, is_over: false }
    }

    /// Adds a line. Whether somebody reads on.
    pub(super) fn add(
        &mut self,
        (text, row): (&str, &Row<'_>),
        node: Option<&str>,
        screen: &mut Screen,
    ) -> bool {
        match self.form {
            Output::Text | Output::Sarif | Output::Github => {
                self.table.add(cells(row, node, &self.zone), screen, &mut self.page)
            }
            Output::Json => {
                match text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
                    true => self.page.push_str(text),
                    false => self.page.push_str(&escape_json(text)),
                }
                self.page.push('\n');
            }
            Output::Csv => {
                self.begin();
                csv::line(row, node, &mut self.page);
            }
        }
        if self.is_watched || self.page.len() >= PAGE {
            self.write(screen);
        }
        !self.is_over
    }

    /// Prints everything that waits.
    pub(super) fn flush(&mut self, screen: &mut Screen) {
        match self.form {
            Output::Text | Output::Sarif | Output::Github => {
                self.table.flush(screen, &mut self.page)
            }
            Output::Json => {}
            Output::Csv => self.begin(),
        }
        self.write(screen);
    }

    /// Says which columns are not shown.
    pub(super) fn tell_dropped(&self, screen: &mut Screen) {
        let dropped = self.table.dropped();
        if !dropped.is_empty() {
            screen.complain(&format!(
                "not shown, since the terminal is narrow: {}; a wider one or --output json has them",
                dropped.join(", ")
            ));
        }
    }

    fn begin(&mut self) {
        if !std::mem::replace(&mut self.has_header, true) {
            self.page.push_str(&csv::header());
        }
    }

    fn write(&mut self, screen: &mut Screen) {
        if !self.page.is_empty() {
            self.is_over |= !screen.lines(&self.page);
            self.page.clear();
        }
    }
}
