"""The project's Markdown pages are held to what there is: links, names, tables, commands."""
