"""Every Eval Ever (https://evalevalai.com), schema 0.3.0: a run as its records, and its records as results."""
