"""One module per page, each with its `ROUTES`. What every page shares is in the folder above."""
