//! [`Table`]: lines of the log in columns that fit the terminal, as they come.
//!
//! The first few hundred lines say how wide each column is. On a terminal what is longer is
//! shortened with `…`, and columns that find no room are left out and named; elsewhere everything is
//! whole.

use std::collections::VecDeque;

use crate::cli::terminal::screen::{Screen, Tone};

/// Lines by which the widths of columns are measured.
const MEASURED: usize = 200;
/// Between two columns.
const GAP: &str = "  ";
/// Columns that give way when the terminal is narrow, the first first, and each with the width that
/// it keeps.
const NARROWED: [(Column, usize); 5] = [
    (Column::SignedBy, 12),
    (Column::Why, 8),
    (Column::Image, 19),
    (Column::Pod, 10),
    (Column::Node, 8),
];
/// Columns that go when that does not suffice, the first first.
const DROPPED: [Column; 4] = [Column::SignedBy, Column::Id, Column::Call, Column::Node];

/// The columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Time,
    Node,
    Verdict,
    Call,
    Image,
    Pod,
    Why,
    SignedBy,
    Id,
}

/// All of them, as they stand.
const COLUMNS: [Column; 9] = [
    Column::Time,
    Column::Node,
    Column::Verdict,
    Column::Call,
    Column::Image,
    Column::Pod,
    Column::Why,
    Column::SignedBy,
    Column::Id,
];

/// One line: a text for each column, which must be harmless, and the meaning of its verdict.
#[derive(Debug, Clone, Default)]
pub(super) struct Cells {
    pub(super) texts: [String; COLUMNS.len()],
    pub(super) tone: Option<Tone>,
}

/// The lines that were not printed yet, and what is known of the columns.
#[derive(Debug)]
pub(super) struct Table {
    waiting: VecDeque<Cells>,
    /// None until it was measured.
    layout: Option<Layout>,
    width: Option<usize>,
    zone: String,
}

#[derive(Debug)]
struct Layout {
    /// Each column with its width.
    columns: Vec<(Column, usize)>,
    dropped: Vec<Column>,
    /// Whether what is longer is shortened.
    is_cut: bool,
}

impl Column {
    fn title(self, zone: &str) -> String {
        match self {
            Self::Time => format!("TIME ({zone})"),
            Self::Node => "NODE".to_owned(),
            Self::Verdict => "VERDICT".to_owned(),
            Self::Call => "CALL".to_owned(),
            Self::Image => "IMAGE".to_owned(),
            Self::Pod => "POD".to_owned(),
            Self::Why => "WHY".to_owned(),
            Self::SignedBy => "SIGNED BY".to_owned(),
            Self::Id => "ID".to_owned(),
        }
    }

    fn place(self) -> usize {
        COLUMNS.iter().position(|column| *column == self).unwrap_or(0)
    }
}

impl Cells {
    /// Sets one.
    pub(super) fn set(&mut self, column: Column, text: impl Into<String>) {
        if let Some(cell) = self.texts.get_mut(column.place()) {
            *cell = text.into();
        }
    }

    fn get(&self, column: Column) -> &str {
        self.texts.get(column.place()).map_or("", String::as_str)
    }
}

impl Table {
    /// For a terminal of this width, or for elsewhere; times are of this zone.
    pub(super) fn new(width: Option<usize>, zone: String) -> Self {
        Self { waiting: VecDeque::new(), layout: None, width, zone }
    }

    /// Adds a line; what is to be printed goes to `out`.
    pub(super) fn add(&mut self, cells: Cells, screen: &Screen, out: &mut String) {
        match &self.layout {
            Some(layout) => layout.print(&cells, screen, out),
            None => {
                self.waiting.push_back(cells);
                if self.waiting.len() >= MEASURED {
                    self.flush(screen, out);
                }
            }
        }
    }

    /// Prints what waits.
    pub(super) fn flush(&mut self, screen: &Screen, out: &mut String) {
        if self.waiting.is_empty() {
            return;
        }
        let layout = self.layout.get_or_insert_with(|| {
            let layout = Layout::of(&self.waiting, self.width, &self.zone);
            let mut titles = Cells::default();
            for column in COLUMNS {
                titles.set(column, column.title(&self.zone));
            }
            layout.print(&titles, screen, out);
            layout
        });
        for cells in self.waiting.drain(..) {
            layout.print(&cells, screen, out);
        }
    }

    /// The columns for which there was no room.
    pub(super) fn dropped(&self) -> Vec<String> {
        let dropped = self.layout.iter().flat_map(|layout| &layout.dropped);
        dropped.map(|column| column.title(&self.zone).to_lowercase()).collect()
    }
}

impl Layout {
    fn of(lines: &VecDeque<Cells>, width: Option<usize>, zone: &str) -> Self {
        let widest = |column: Column| {
            let widths = lines.iter().map(|cells| cells.get(column).chars().count());
            let widest = widths.max().unwrap_or(0);
            // A column that has nothing takes no room.
            (widest > 0).then(|| widest.max(column.title(zone).chars().count()))
        };
        let columns = COLUMNS.into_iter().filter_map(|column| Some((column, widest(column)?)));
        let (columns, is_cut) = (columns.collect(), width.is_some());
        let mut layout = Self { columns, dropped: Vec::new(), is_cut };
        if let Some(width) = width {
            layout.fit(width);
        }
        layout
    }

    fn total(&self) -> usize {
        let gaps = GAP.len() * self.columns.len().saturating_sub(1);
        self.columns.iter().map(|(_, width)| width).sum::<usize>() + gaps
    }

    fn fit(&mut self, width: usize) {
        let least = |layout: &Self| {
            let given = layout.columns.iter().map(|(column, width)| {
                let kept = NARROWED.iter().find(|(narrowed, _)| narrowed == column);
                kept.map_or(0, |(_, least)| width.saturating_sub(*least))
            });
            layout.total().saturating_sub(given.sum::<usize>())
        };
        for column in DROPPED {
            if least(self) <= width {
                break;
            }
            let before = self.columns.len();
            self.columns.retain(|(kept, _)| *kept != column);
            if self.columns.len() < before {
                self.dropped.push(column);
            }
        }
        for (narrowed, least) in NARROWED {
            let over = self.total().saturating_sub(width);
            if let Some((_, has)) = self.columns.iter_mut().find(|(column, _)| *column == narrowed)
            {
                *has -= over.min(has.saturating_sub(least));
            }
        }
        // Of a terminal that is narrower still, each column that can gives all that it can.
    }

    fn print(&self, cells: &Cells, screen: &Screen, out: &mut String) {
        let last = self.columns.len().saturating_sub(1);
        for (number, (column, width)) in self.columns.iter().enumerate() {
            let text = match self.is_cut(*column) {
                true => shortened(cells.get(*column), *width),
                false => cells.get(*column).to_owned(),
            };
            let blank = width.saturating_sub(text.chars().count());
            match cells.tone.filter(|_| *column == Column::Verdict) {
                Some(tone) => out.push_str(&screen.tone(tone, &text)),
                None => out.push_str(&text),
            }
            if number < last {
                out.extend(std::iter::repeat_n(' ', blank));
                out.push_str(GAP);
            }
        }
        out.truncate(out.trim_end_matches(' ').len());
        out.push('\n');
    }

    fn is_cut(&self, column: Column) -> bool {
        self.is_cut && NARROWED.iter().any(|(narrowed, _)| *narrowed == column)
    }
}

/// The text in so many columns: its beginning and its end, which tell images apart.
fn shortened(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let kept = width.saturating_sub(1);
    let (first, last) = (kept - kept / 2, kept / 2);
    let begin = text.chars().take(first);
    begin.chain(std::iter::once('…')).chain(text.chars().skip(length - last)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::terminal::screen::Output;

    fn cells(image: &str, pod: &str) -> Cells {
        let mut cells = Cells { tone: Some(Tone::Good), ..Cells::default() };
        cells.set(Column::Time, "2026-01-31 12:00:00");
        cells.set(Column::Verdict, "admitted");
        cells.set(Column::Call, "CreateContainer");
        cells.set(Column::Image, image);
        cells.set(Column::Pod, pod);
        cells.set(Column::Why, "from the registry, 12 s old");
        cells.set(Column::SignedBy, "https://github.com/acme/app/.github/workflows/release.yml");
        cells.set(Column::Id, "019aa3f5c6d1-00000007-5b1e22c4");
        cells
    }

    fn printed(width: Option<usize>, lines: &[Cells]) -> (String, Vec<String>) {
        let (screen, _) = Screen::into_memory(Output::Text);
        let (mut table, mut out) = (Table::new(width, "UTC".to_owned()), String::new());
        lines.iter().for_each(|cells| table.add(cells.clone(), &screen, &mut out));
        table.flush(&screen, &mut out);
        (out, table.dropped())
    }

    #[test]
    fn columns_are_aligned_and_fit_the_terminal_and_what_goes_is_named() {
        let image = format!("registry.example.com/prod/app@sha256:{}", "d".repeat(64));
        let lines = [cells(&image, "prod/app-1"), cells("reg.test/b:1", "prod/a-longer-name-0")];
        for width in [80, 100, 120, 160, 200, 400] {
            let (out, dropped) = printed(Some(width), &lines);
            assert!(out.lines().all(|line| line.chars().count() <= width), "{width}:\n{out}");
            let starts: Vec<_> = out
                .lines()
                .map(|line| line.find("admitted").or_else(|| line.find("VERDICT")))
                .collect();
            assert!(starts.windows(2).all(|two| two[0] == two[1]), "{out}");
            assert_eq!(dropped.is_empty(), out.contains("ID") && out.contains("CALL"), "{out}");
            assert!(out.contains("prod/app-1"), "{out}");
        }
        assert_eq!(printed(Some(80), &lines).1, ["signed by", "id", "call"]);
    }

    #[test]
    fn elsewhere_everything_is_whole_also_behind_the_lines_that_were_measured() {
        let mut lines = vec![cells("reg.test/a:1", "prod/a"); MEASURED];
        lines.push(cells(&"x".repeat(300), "prod/a-name-that-is-longer"));
        let (out, dropped) = printed(None, &lines);
        assert!(out.contains(&"x".repeat(300)) && out.contains("prod/a-name-that-is-longer"));
        assert!(dropped.is_empty() && !out.contains('…'));
        assert_eq!(out.lines().count(), MEASURED + 2, "and the titles, once");
    }

    #[test]
    fn a_column_that_has_nothing_is_not_there_and_without_lines_there_is_no_title() {
        assert!(!printed(None, &[cells("reg.test/a:1", "")]).0.contains("POD"));
        assert_eq!(printed(Some(80), &[]).0, "");
    }
}
