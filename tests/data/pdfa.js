// Says of each PDF whether veraPDF finds it to be PDF/A-3b, one line of JSON a file. Run by Rhino, which comes with veraPDF.
var V = Packages.org.verapdf;
V.gf.foundry.VeraGreenfieldFoundryProvider.initialise();
var foundry = V.pdfa.Foundries.defaultInstance(), flavour = V.pdfa.flavours.PDFAFlavour.PDFA_3_B;
for (var i = 0; i < arguments.length; i++) {
    var stream = new java.io.FileInputStream(arguments[i]);
    var result = foundry.createValidator(flavour, false).validate(foundry.createParser(stream, flavour));
    var findings = [], each = result.getTestAssertions().iterator();
    while (each.hasNext()) {
        var found = each.next();
        findings.push(found.getRuleId().getClause() + " " + found.getMessage());
    }
    print(JSON.stringify({ compliant: result.isCompliant(), findings: findings }));
    stream.close();
}
