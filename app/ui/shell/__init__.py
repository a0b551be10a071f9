"""The main window around the views: docks, status bar, banners, notices, layout."""
