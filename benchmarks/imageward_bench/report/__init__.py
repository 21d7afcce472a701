"""What every benchmark leaves behind: a record, a page, pictures; and two records compared."""
