"""Files of opt-out changes: read row by row, checked, and the bad lines written back with what is wrong."""
