# Population fit of a one-compartment oral drug by nlme: Rscript peer_nlme.R train.csv out.csv
# Columns of train.csv: ID, TIME [h], DOSE [mg], DV [mg/L]. out.csv: one row of estimates.
suppressMessages(library(nlme))
paths <- commandArgs(trailingOnly = TRUE)
levels <- read.csv(paths[1])
grouped <- groupedData(DV ~ TIME | ID, data = levels)
fitted <- nlme(
  DV ~ SSfol(DOSE, TIME, lKe, lKa, lCl),
  data = grouped,
  fixed = lKe + lKa + lCl ~ 1,
  random = pdDiag(lKe + lKa + lCl ~ 1),
  start = c(lKe = -2.4, lKa = 0.5, lCl = 1.0),
  control = nlmeControl(maxIter = 200, msMaxIter = 200)
)
spread <- as.numeric(VarCorr(fitted)[, "StdDev"])
estimates <- c(fixef(fitted), spread)
names(estimates) <- c("lKe", "lKa", "lCl", "sd_lKe", "sd_lKa", "sd_lCl", "sigma")
write.csv(t(estimates), paths[2], row.names = FALSE)
