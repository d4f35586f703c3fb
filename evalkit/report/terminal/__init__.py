"""What commands print: results, forecasts, plans, lists of tasks and models, in whatever width there is."""
