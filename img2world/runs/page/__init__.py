"""report.html: the page that shows what went into a run, what came out, and how far to trust it."""
