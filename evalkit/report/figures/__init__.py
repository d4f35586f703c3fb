"""Figures of a report: each is a list of panels of one size, drawn together for a file and singly for the page."""
