"""Pure drawing: data and a size in, styled terminal cells out. Knows numpy, rich and Textual's Strip, and no application."""
