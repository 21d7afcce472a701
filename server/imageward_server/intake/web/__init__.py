"""The intake's pages: plain HTML, for browsers without JavaScript, in a process of their own."""
