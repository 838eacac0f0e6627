"""The organisation's own pages, for people with a browser: records, and a setup page. They count as no API call."""
