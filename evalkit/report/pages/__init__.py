"""What a report shows, and the files that it writes."""
