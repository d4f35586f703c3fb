"""Results of others: long tables of any headers, checked cell by cell, and what published names say."""
